// Tabs: by click, by arrow keys, and by the part of the address after #.

/** `onShow(name)` is called with the tab that is shown, and again at every change. */
export function openTabs(onShow) {
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  const nameOf = (tab) => tab.getAttribute("aria-controls");
  const show = (chosen) => {
    for (const tab of tabs) {
      const here = tab === chosen;
      tab.setAttribute("aria-selected", here);
      tab.tabIndex = here ? 0 : -1;
      document.getElementById(nameOf(tab)).hidden = !here;
    }
    document.title = `${chosen.textContent} · mecam`;
    onShow(nameOf(chosen));
  };
  const go = (tab) => {
    history.replaceState(null, "", `#${nameOf(tab)}`);
    show(tab);
  };
  const asked = () => tabs.find((tab) => `#${nameOf(tab)}` === location.hash);
  for (const tab of tabs) tab.addEventListener("click", () => go(tab));
  tabs[0].parentElement.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(document.activeElement);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (next === undefined || at < 0) return;
    event.preventDefault();
    const tab = tabs.at(next % tabs.length);
    tab.focus();
    go(tab);
  });
  addEventListener("hashchange", () => { if (asked()) show(asked()); });
  show(asked() ?? tabs[0]);
}
