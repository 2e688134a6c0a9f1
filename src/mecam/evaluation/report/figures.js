/* Draws every figure of the page in the colours of the theme, and again when the theme changes. */
(function () {
  "use strict";
  const root = document.documentElement;
  const specs = Array.from(document.querySelectorAll("script.spec"), (script) => [
    script.previousElementSibling, script.textContent,
  ]);

  function draw() {
    const style = getComputedStyle(root);
    const colour = (_, name) => JSON.stringify(style.getPropertyValue(name).trim());
    for (const [place, text] of specs) {
      const figure = JSON.parse(text.replace(/"var\((--[a-z0-9]+)\)"/g, colour));
      Plotly.react(place, figure.data, figure.layout, { displayModeBar: false, responsive: true });
    }
  }

  let closed = [];
  addEventListener("beforeprint", () => {
    root.dataset.print = "";
    closed = Array.from(document.querySelectorAll("details:not([open])"));
    closed.forEach((part) => { part.open = true; });
    draw();
  });
  addEventListener("afterprint", () => {
    delete root.dataset.print;
    closed.forEach((part) => { part.open = false; });
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
