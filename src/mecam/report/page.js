// Charts in the colours of the theme, tables that sort by a click on a heading, folded parts that are open in print.
(async function () {
  "use strict";
  const root = document.documentElement;
  const specs = Array.from(document.querySelectorAll("script.spec"), (script) => [
    script.parentElement.querySelector(".plot"), script.textContent,
  ]);

  async function unpack() {
    const packed = Uint8Array.from(atob(document.getElementById("vega").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }

  function draw() {
    const style = getComputedStyle(root);
    const colour = (_, name) => style.getPropertyValue(`--${name}`).trim();
    return Promise.all(specs.map(([place, text]) =>
      vegaEmbed(place, JSON.parse(text.replace(/var\(--([\w-]+)\)/g, colour)), {
        ast: true, actions: false, renderer: "svg", tooltip: { theme: "custom" },
      })));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = Array.from(table.tHead.rows[0].cells);
    const value = (row, column) => {
      const cell = row.cells[column];
      if (column === 0) return cell.textContent;
      return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
    };
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const rising = head.getAttribute("aria-sort") !== "ascending";
        const rows = Array.from(table.tBodies[0].rows);
        rows.sort((first, second) => {
          const [a, b] = [value(first, column), value(second, column)];
          if (a === null || b === null) return (a === null) - (b === null);
          const order = column === 0 ? a.localeCompare(b) : a - b;
          return rising ? order : -order;
        });
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        table.tBodies[0].append(...rows);
      });
    });
  }

  // A table that is wider than its place shows that it goes on.
  const scrolls = document.querySelectorAll(".scroll");
  const mark = (place) => {
    place.classList.toggle("more-right", place.scrollLeft + place.clientWidth < place.scrollWidth - 2);
    place.classList.toggle("more-left", place.scrollLeft > 2);
  };
  const watch = new ResizeObserver((entries) => entries.forEach((entry) => mark(entry.target)));
  for (const place of scrolls) {
    place.addEventListener("scroll", () => mark(place), { passive: true });
    watch.observe(place);
  }

  let closed = [];
  addEventListener("beforeprint", () => {
    root.dataset.print = "";
    closed = Array.from(document.querySelectorAll("details:not([open])"));
    closed.forEach((part) => { part.open = true; });
    if (specs.length) draw();
  });
  addEventListener("afterprint", () => {
    delete root.dataset.print;
    closed.forEach((part) => { part.open = false; });
    if (specs.length) draw();
  });

  if (!specs.length) return;
  try {
    await unpack();
  } catch (error) {
    for (const [place] of specs) place.textContent = "This chart needs a browser of 2023 or later.";
    return;
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  // A chart in a folded part has no width until the part is opened.
  for (const part of document.querySelectorAll("details")) part.addEventListener("toggle", () => dispatchEvent(new Event("resize")));
  draw();
})();
