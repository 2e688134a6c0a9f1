// How a recording is to be read; folded away, since the defaults are good.
import { make } from "./dom.js";

/** The form's part: `element`, and `values()` by the names of the interface. */
export function options(about) {
  const transcript = make("input", { type: "file", id: "transcript", accept: ".txt,.srt,.vtt,.csv,.json" });
  const every = make("input", { type: "number", id: "every", min: "0.1", max: "60", step: "0.1", placeholder: "1" });
  const longest = make("input", { type: "number", id: "longest", min: "1", max: "60", step: "0.5", placeholder: "15" });
  const person = choice("person", [["", "the speaker"], ["listener", "the listener"], ["1", "person 1"], ["2", "person 2"], ["3", "person 3"]]);
  const language = make("input", { id: "language", pattern: "[a-z]{2,3}", placeholder: "found out", maxLength: 3, autocomplete: "off" });
  const asr = choice("asr", about.speech_to_text
    ? [["", `where no transcript is given (${about.speech_to_text})`], ["false", "never"]]
    : [["", "not on this server"]]);
  asr.disabled = !about.speech_to_text;
  const baseline = make("input", { type: "checkbox", id: "baseline" });
  const element = make("div", { className: "options" },
    row("Transcript", "transcript", transcript, "txt, SRT, VTT, CSV or JSON; optional"),
    make("details", {}, make("summary", {}, "Options"),
      row("Seconds per moment", "every", every, "a point on the timeline for each stretch of so many seconds"),
      row("Longest utterance", "longest", longest, "in seconds; without a transcript with times, shorter ones give more scores"),
      row("Whose face", "person", person, "people are numbered in the order in which they appear"),
      row("Language", "language", language, "of the speech: en, de, zh …"),
      row("Speech to text", "asr", asr, ""),
      make("p", { className: "check" }, baseline, make("label", { htmlFor: "baseline" },
        "Voice and face relative to the calm parts of this recording"))));
  return {
    element,
    values: () => ({
      transcript: transcript.files[0],
      every: every.value,
      longest: longest.value,
      person: person.value,
      language: language.value,
      asr: asr.value,
      baseline: baseline.checked ? "auto" : "",
    }),
  };
}

const choice = (id, pairs) => make("select", { id }, pairs.map(([value, text]) => make("option", { value }, text)));

function row(name, id, field, hint) {
  if (hint) field.setAttribute("aria-describedby", `${id}-hint`);
  return make("div", { className: "row" }, make("label", { htmlFor: id }, name), field,
    hint && make("span", { className: "note", id: `${id}-hint` }, hint));
}
