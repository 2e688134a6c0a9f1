// What the filter lets through of each modality in the window, and what it removes.
import { draw, make } from "./dom.js";
import { REMOVED, percent } from "./format.js";

const NAMES = { text: "words", audio: "voice", vision: "face" };
const NOW_S = 1.5;  // what is said in words is of this last piece of the window

/** Strips of the modalities: `element`, `show(answer)` and `clear()`. */
export function gateStrips() {
  const rows = Object.entries(NAMES).map(([modality, name]) => {
    const state = make("small", { className: "kind" });
    const picture = draw("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img" });
    return { modality, name, state, picture, element: make("div", { className: "strip" }, make("span", {}, name, state), picture) };
  });
  function show({ gates, start, stop }) {
    for (const row of rows) {
      const cells = gates?.[row.modality] ?? [];
      row.picture.replaceChildren(...cells.flatMap((cell) => boxes(cell, start, stop)));
      const said = stateOf(cells, stop, row.modality);
      row.state.textContent = said;
      row.state.classList.toggle("some", said.endsWith("removed"));
      row.picture.setAttribute("aria-label", `${row.name}, now: ${said || "nothing"}`);
    }
  }
  show({ gates: {}, start: 0, stop: 1 });
  return { element: make("div", {}, rows.map((row) => row.element)), show, clear: () => show({ gates: {}, start: 0, stop: 1 }) };
}

function boxes([from, to, gate, word], start, stop) {
  if (gate === null) return [];
  const x = (time) => 1000 * Math.min(Math.max((time - start) / (stop - start), 0), 1);
  const out = gate < REMOVED;  // higher than what is kept, so that the colour is not the only sign
  const box = draw("rect", { x: x(from).toFixed(1), width: Math.max(0, x(to) - x(from)).toFixed(1), y: out ? 0 : 25, height: out ? 100 : 50,
    class: out ? "out" : "gate" }, draw("title", {}, `${word ? `${word}: ` : ""}gate ${gate.toFixed(2)}`));
  box.style.setProperty("--weight", gate);
  return [box];
}

/** In words: how much of the last piece is removed, or that there is nothing. */
function stateOf(cells, stop, modality) {
  const recent = modality === "text" ? cells : cells.filter(([, to]) => to > stop - NOW_S);
  const known = recent.filter(([, , gate]) => gate !== null);
  if (!known.length) return "nothing";
  const removed = known.filter(([, , gate]) => gate < REMOVED).length / known.length;
  return removed > 0.05 ? `${percent(removed)} removed` : "kept";
}
