// What is said: typed here, or written down by the server, each piece with its prediction.
import { make } from "./dom.js";
import { says } from "./format.js";

const PAUSE_MS = 400;

/** `element`; `open(asr, now)`, `show(texts)` and `close()`; `send(id, text, start, stop)` gets what is typed. */
export function saidWords(send) {
  const field = make("input", { id: "said", autocomplete: "off", disabled: true, placeholder: "Type what is said" });
  const note = make("p", { className: "note" });
  const list = make("ol", { className: "lines", "aria-label": "What was said" });
  const form = make("form", { className: "said" }, make("label", { htmlFor: "said" }, "Words"), field, note);
  const element = make("div", { hidden: true }, form, list);
  let [number, began, wait] = [0, null, 0];
  let now = () => 0;

  function put() {
    clearTimeout(wait);
    const text = field.value.trim();
    if (text) send(`typed-${number}`, text, began, Math.max(now(), began + 0.1));
  }

  field.addEventListener("input", () => {
    began ??= now();
    clearTimeout(wait);
    wait = setTimeout(put, PAUSE_MS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    put();
    field.value = "";
    began = null;
    number += 1;
  });

  return {
    element,
    open: (asr, clock) => {
      now = clock;
      field.disabled = element.hidden = false;
      note.textContent = asr ? `The server writes down the speech (${asr}) until you type here. Enter ends a sentence.`
        : "This server does not write down speech: type what is said. Enter ends a sentence.";
      list.replaceChildren();
    },
    show: (texts) => list.replaceChildren(...(texts ?? []).map((one) => make("li", {},
      make("span", {}, one.text), " ", make("small", { className: "muted" }, one.prediction ? says(one.prediction) : "", one.source === "asr" ? " · heard" : "")))),
    close: () => { clearTimeout(wait); field.disabled = true; field.value = ""; began = null; },
  };
}
