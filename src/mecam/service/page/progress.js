// How far a recording is: on its way, waiting, being read.
import { make, tell } from "./dom.js";
import { percent } from "./format.js";

const STAGES = { waiting: "Waiting", starting: "Starting", words: "Reading the words", faces: "Looking at the faces", voice: "Listening to the voice",
  answer: "Putting it together", gone: "The server does not answer; trying again" };

/** `element`, and `upload(share)` and `state(job)` that tell the news. */
export function progress(onCancel) {
  const bar = make("progress", { max: 1, value: 0, id: "progress" });
  const what = make("label", { htmlFor: "progress" }, "Sending");
  const share = make("span", { className: "muted number" });
  const element = make("div", { className: "card working" },
    make("p", { className: "stage" }, what, " ", share), bar,
    make("p", { className: "actions" }, make("button", { type: "button", onclick: onCancel }, "Cancel")));
  const put = (text, value) => {
    if (what.textContent !== text) tell(text);
    what.textContent = text;
    if (value === null) bar.removeAttribute("value");
    else bar.value = value;
    share.textContent = value ? percent(value) : "";
  };
  const shown = {
    element,
    job: null,
    upload: (value) => put(value < 1 ? "Sending" : "Checking", value < 1 ? value : null),
    state: (job) => {
      if (job.id) shown.job = job;
      if (job.state === "queued") put(job.place ? `Waiting: ${job.place} before this one` : "Waiting", null);
      else put(STAGES[job.stage] ?? "Working", job.progress || null);
    },
  };
  return shown;
}
