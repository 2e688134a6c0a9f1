// The view of sentences.
import { Problem, askJson } from "./api.js";
import { bars } from "./bars.js";
import { hold, make, tell, waits } from "./dom.js";
import { REMOVED, says } from "./format.js";
import { showProblem } from "./problems.js";
import { scale } from "./scale.js";

const EXAMPLES = [
  "I would see it again tomorrow, it was wonderful.",
  "The film is about a woman who flies to a station in orbit.",
  "The ending was awful, far too long and really boring.",
].join("\n");

export function textView(place, model) {
  const field = make("textarea", { id: "sentences", rows: 5, placeholder: "One sentence per line", spellcheck: true });
  const button = make("button", { className: "main", type: "submit" }, "Predict");
  const example = make("button", { type: "button" }, "Try an example");
  const problem = make("div");
  const results = make("ol", { className: "sentences", "aria-label": "Predictions" });
  const form = make("form", {}, make("label", { htmlFor: "sentences" }, "Sentences"), field,
    make("p", { className: "actions" }, button, example, make("span", { className: "note keys" }, "Ctrl + Enter predicts")));

  async function predict() {
    if (waits(button)) return;
    showProblem(problem, null);
    const texts = field.value.split("\n").map((line) => line.trim()).filter(Boolean);
    hold(button, true);
    try {
      const { task, limits } = await model;
      check(texts, limits);
      const body = JSON.stringify({ texts });
      const headers = { "Content-Type": "application/json" };
      const { predictions } = await askJson("/v1/predict/text", { method: "POST", body, headers });
      results.replaceChildren(...predictions.map((one) => sentence(one, task)));
      tell(`${predictions.length === 1 ? "1 sentence" : `${predictions.length} sentences`} predicted`);
    } catch (error) {
      showProblem(problem, error);
    } finally {
      hold(button, false);
    }
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); predict(); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); predict(); }
  });
  example.addEventListener("click", () => { field.value = EXAMPLES; predict(); });
  place.replaceChildren(
    make("p", { className: "lede" }, "What do these words express, and how sure is that?"),
    form, problem, results);
  return {};
}

function check(texts, limits) {
  if (!texts.length) throw new Problem({ what: "there is no sentence yet", fix: "type one, or try the example" });
  const [most, longest] = [limits?.max_texts ?? Infinity, limits?.max_characters ?? Infinity];
  if (texts.length > most) {
    throw new Problem({ what: `${texts.length} sentences are more than ${most}, which this server takes at once`, fix: "give fewer" });
  }
  const long = texts.findIndex((text) => text.length > longest);
  if (long >= 0) {
    throw new Problem({ what: `a sentence has more than ${longest} characters`, where: `line ${long + 1}`, fix: "divide it" });
  }
}

function sentence(prediction, task) {
  const gates = prediction.kept?.text ?? [];
  const words = (prediction.text ?? "").split(/\s+/).filter(Boolean);
  const removed = words.map((_, at) => gates[at] !== undefined && gates[at] !== null && gates[at] < REMOVED);
  const shown = words.map((word, at) => (removed[at] ? make("s", { title: "removed by the filter" }, word) : word));
  const values = prediction.score === undefined ? prediction.probabilities : prediction.emotions;
  return make("li", {},
    make("div", {},
      make("p", { className: "said" }, shown.flatMap((word, at) => (at ? [" ", word] : [word]))),
      removed.includes(true) && make("p", { className: "note" }, "Struck words were removed by the filter.")),
    make("div", {}, make("p", { className: "says" }, says(prediction) || "no score"),
      prediction.score !== undefined && scale(prediction, task)),
    bars(values, { label: "emotions", least: 0.1 }));
}
