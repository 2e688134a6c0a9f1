// Names with their probabilities, as bars.
import { make } from "./dom.js";
import { percent, words } from "./format.js";

/** The strongest of `values`, at most `most`, those below `least` left out; `empty` is said where none is left. */
export function bars(values, { most = 3, least = 0.05, label, empty = "" }) {
  const rows = Object.entries(values ?? {})
    .filter(([, value]) => value >= least)
    .sort((first, second) => second[1] - first[1])
    .slice(0, most);
  if (!rows.length) return make("p", { className: "note" }, empty);
  return make("ul", { className: "bars", "aria-label": label }, rows.map(([name, value]) => {
    const fill = make("span", { className: "fill" });
    fill.style.setProperty("--share", value);
    return make("li", {}, make("span", { className: "name" }, words(name)),
      make("span", { className: "track", "aria-hidden": "true" }, fill), make("span", { className: "value" }, percent(value)));
  }));
}
