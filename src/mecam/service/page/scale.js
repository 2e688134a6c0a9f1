// A score with its interval on the scale of the task.
import { draw } from "./dom.js";
import { says, signed } from "./format.js";

/** The ends of the scale of a task. */
export const ends = (task) => [task?.low ?? -3, task?.high ?? 3];

/** A line from end to end, the interval as a band on it, the score as a dot. */
export function scale(prediction, task) {
  const [low, high] = ends(task);
  const at = (value) => `${4 + 92 * Math.min(Math.max((value - low) / (high - low), 0), 1)}%`;
  const middle = at((low + high) / 2);
  const line = (from, to, y1, y2, css) => draw("line", { x1: from, x2: to, y1, y2, class: css });
  const number = (value) => draw("text", { x: at(value), y: 34, class: "end" }, signed(value, 0));
  return draw("svg", { class: "scale", role: "img", "aria-label": says(prediction) },
    line(at(low), at(high), 12, 12, "base"), line(middle, middle, 5, 19, "base"),
    prediction.low !== undefined && line(at(prediction.low), at(prediction.high), 12, 12, "band"),
    draw("circle", { cx: at(prediction.score), cy: 12, r: 6, class: "dot" }),
    number(low), number((low + high) / 2), number(high));
}
