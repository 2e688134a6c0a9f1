/* Unpacks Plotly, then draws every figure of the page in the colours of the theme, and again when the theme changes. */
(async function () {
  "use strict";
  const root = document.documentElement;
  const specs = Array.from(document.querySelectorAll("script.spec"), (script) => [
    script.parentElement.querySelector(".plot"), script.textContent,
  ]);

  async function unpack() {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }

  function draw() {
    const style = getComputedStyle(root);
    const colour = (_, name) => JSON.stringify(style.getPropertyValue(name).trim());
    for (const [place, text] of specs) {
      const figure = JSON.parse(text.replace(/"var\((--[a-z0-9]+)\)"/g, colour));
      Plotly.react(place, figure.data, figure.layout, { displayModeBar: false, responsive: true });
    }
  }

  if (!specs.length) return;
  try {
    await unpack();
  } catch (error) {
    for (const [place] of specs) place.textContent = "This figure needs a browser of 2023 or later.";
    return;
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
