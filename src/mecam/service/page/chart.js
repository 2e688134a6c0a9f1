// The last minute of a measure, with its interval: the newest value is at the right.
import { draw, make } from "./dom.js";

const LASTS_S = 60;
const WIDTH = 1000;
const GAP_S = 2;  // values that are further apart are not joined

/** A strip that rolls: `element`, `add(time, value, low, high)` with undefined where there is none, and `clear()`. */
export function chart({ name, range: [low, high], levels, css, label }) {
  const band = draw("path", { class: "band" });
  const line = draw("path", { class: "curve" });
  const middle = draw("line", { class: "middle", x1: 0, x2: WIDTH, y1: y((low + high) / 2), y2: y((low + high) / 2) });
  const picture = draw("svg", { viewBox: `0 0 ${WIDTH} 100`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    middle, band, line);
  const text = make("span", {}, name, levels.map(([level, shown]) => {
    const css = level === high ? "level top" : level === low ? "level bottom" : "level";
    const mark = make("small", { className: css }, shown);
    mark.style.top = `${y(level)}%`;
    return mark;
  }));
  const element = make("div", { className: `strip rolling ${css}` }, text, picture);
  let points = [];

  function y(value) { return 100 * (1 - (Math.min(Math.max(value, low), high) - low) / (high - low)); }

  function add(time, value, least, most) {
    points = points.filter((point) => point.time > time - LASTS_S);
    if (value !== undefined && value !== null) points.push({ time, value, least: least ?? value, most: most ?? value });
    const x = (point) => (WIDTH * (1 - (time - point.time) / LASTS_S)).toFixed(1);
    const runs = joined(points);
    line.setAttribute("d", runs.map((run) => run.map((p, at) => `${at ? "L" : "M"}${x(p)} ${y(p.value).toFixed(1)}`).join("")).join(""));
    band.setAttribute("d", runs.map((run) => `${run.map((p, at) => `${at ? "L" : "M"}${x(p)} ${y(p.most).toFixed(1)}`).join("")}${
      [...run].reverse().map((p) => `L${x(p)} ${y(p.least).toFixed(1)}`).join("")}Z`).join(""));
  }

  return { element, add, clear: () => { points = []; for (const path of [line, band]) path.removeAttribute("d"); } };
}

/** Points in runs without a gap. */
function joined(points) {
  const runs = [];
  for (const point of points) {
    const last = runs.at(-1)?.at(-1);
    if (last && point.time - last.time <= GAP_S) runs.at(-1).push(point);
    else runs.push([point]);
  }
  return runs;
}

/** Seconds below strips, from a minute ago, or the window, to now. */
export function axis(seconds) {
  const marks = [[0, `${seconds} s ago`, "first"], [50, `${seconds / 2} s`, ""], [100, "now", "last"]];
  return make("div", { className: "strip" }, make("span"), make("div", { className: "axis" }, marks.map(([place, text, css]) => {
    const mark = make("span", { className: css }, text);
    mark.style.left = `${place}%`;
    return mark;
  })));
}
