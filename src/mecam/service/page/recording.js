// The view of a recording: choose it, send it, wait for it, see what was found.
import { Problem, ask, askJson, isOver, readProblem, watch } from "./api.js";
import { hold, make, tell, waits } from "./dom.js";
import { size } from "./format.js";
import { options } from "./options.js";
import { showProblem } from "./problems.js";
import { progress } from "./progress.js";
import { recorder } from "./recorder.js";
import { showResult } from "./result.js";
import { upload } from "./upload.js";

export function recordingView(place, model) {
  const problem = make("div");
  const stage = make("div");
  place.replaceChildren(problem, stage);
  let leaveStage = () => {};

  const put = (leave, ...children) => {
    leaveStage();
    leaveStage = leave;
    const focused = stage.contains(document.activeElement);
    stage.replaceChildren(...children);
    if (focused) stage.querySelector("input, button:enabled")?.focus({ preventScroll: true });
  };

  function start() {
    put(() => {}, ...choice({ model, onFile: (file) => chosen(file), onRecord: record, onSample: sample }));
  }

  function record() {
    showProblem(problem, null);
    const part = recorder({
      onDone: (file) => chosen(file),
      onProblem: (error) => { start(); showProblem(problem, error); },
      onCancel: start,
    });
    put(part.close, part.element);
  }

  async function sample(button) {
    if (waits(button)) return;
    showProblem(problem, null);
    hold(button, true);
    try {
      const [first] = await askJson("/page/samples.json");
      const [file, transcript] = await Promise.all([first.file, first.transcript].map(fetched));
      await send(file, { transcript });
    } catch (error) {
      showProblem(problem, error);
    } finally {
      hold(button, false);
    }
  }

  async function chosen(file) {
    showProblem(problem, null);
    const about = await model.catch((error) => { showProblem(problem, error); return {}; });
    const most = 1e6 * (about.limits?.max_upload_mb ?? Infinity);
    if (file.size > most) {
      start();
      showProblem(problem, new Problem({ what: `this file has ${size(file.size)}, and the server takes ${size(most)}`,
        where: file.name, fix: "cut it, or give it a smaller resolution" }));
      return;
    }
    if (!file.size) {
      start();
      showProblem(problem, new Problem({ what: "this file is empty", where: file.name, fix: "choose another one" }));
      return;
    }
    const asked = options(about);
    const button = make("button", { className: "main", type: "submit" }, "Predict");
    const form = make("form", { className: "card" },
      make("p", { className: "file" }, make("b", {}, file.name), " ", make("span", { className: "muted" }, size(file.size))),
      preview(file), asked.element,
      make("p", { className: "actions" }, button, make("button", { type: "button", onclick: start }, "Choose another")));
    form.addEventListener("submit", (event) => { event.preventDefault(); send(file, asked.values()); });
    put(() => URL.revokeObjectURL(form.querySelector(".preview")?.src), form);
    button.focus();
  }

  async function send(file, values) {
    showProblem(problem, null);
    const abort = new AbortController();
    const shown = progress(() => abort.abort());
    put(() => {}, shown.element);
    let job = null;
    try {
      job = await predict(file, values, shown, abort.signal);
      if (job.state === "failed") throw readProblem(job.error?.status ?? 422, JSON.stringify(job.error ?? {}));
      if (job.state !== "done") throw new DOMException("cancelled", "AbortError");
      const result = await showResult({ file, job, onAgain: start, onRemove: () => { remove(job); start(); } });
      put(result.close, result.element);
      scrollTo(0, 0);
      result.heading.focus({ preventScroll: true });
      tell("The result is there");
    } catch (error) {
      start();
      if (error.name !== "AbortError") showProblem(problem, error);
      else if (job ?? shown.job) remove(job ?? shown.job);
    }
  }

  takeDrops(place, chosen);
  addEventListener("pagehide", () => leaveStage());
  start();
  return { leave: () => { if (stage.querySelector(".recorder")) start(); } };
}

/** Send the recording, and follow its job until it is over. */
async function predict(file, values, shown, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries({ words: "true", page: "true", ...values })) {
    if (value instanceof File) form.append(name, value, value.name);
    else if (value) form.append(name, value);
  }
  form.append("file", file, file.name);
  const { body } = await upload("/v1/predict/recording", form, { onProgress: shown.upload, signal });
  let job = body;
  shown.state(job);
  if (isOver(job)) return job;
  for await (job of watch(`/v1/jobs/${job.id}`, signal)) shown.state(job);
  return job;
}

async function fetched(path) {
  const answer = await ask(path);
  const blob = await answer.blob();
  return new File([blob], path.split("/").at(-1), { type: blob.type });
}

/** Whether it is still there or not, nothing of it is kept. */
const remove = (job) => ask(`/v1/jobs/${job.id}`, { method: "DELETE" }).catch(() => {});

/** What the recording looks or sounds like, where the browser can play it. */
function preview(file) {
  const kind = file.type.startsWith("audio") ? "audio" : "video";
  const player = make(kind, { className: "preview", controls: true, preload: "metadata", src: URL.createObjectURL(file) });
  player.addEventListener("error", () => player.replaceWith(
    make("p", { className: "note" }, "This browser cannot play this file; the server may well read it.")));
  return player;
}

/** A file may be dropped anywhere on the page; where none is awaited, nothing happens, and the page stays. */
function takeDrops(place, onFile) {
  const awaiting = () => (place.hidden ? null : place.querySelector(".drop"));
  const over = (on) => (event) => {
    event.preventDefault();
    awaiting()?.classList.toggle("over", on);
  };
  document.addEventListener("dragover", over(true));
  document.addEventListener("dragleave", over(false));
  document.addEventListener("drop", (event) => {
    over(false)(event);
    if (awaiting() && event.dataTransfer.files.length) onFile(event.dataTransfer.files[0]);
  });
}

/** Drop, choose, record, or take the sample. */
function choice({ model, onFile, onRecord, onSample }) {
  const field = make("input", { type: "file", id: "file", className: "unseen", accept: "video/*,audio/*,.mkv,.avi,.mov,.flac" });
  field.addEventListener("change", () => { if (field.files.length) onFile(field.files[0]); });
  const record = make("button", { type: "button", onclick: onRecord }, "Record yourself");
  const sample = make("button", { type: "button" }, "Use the sample");
  sample.addEventListener("click", () => onSample(sample));
  const drop = make("div", { className: "drop" },
    make("p", { className: "big" }, "Drop a video or a sound file here"),
    make("p", { className: "actions" }, field, make("label", { htmlFor: "file", className: "button main" }, "Choose a file"), record, sample));
  model.then(({ limits }) => limits && drop.append(make("p", { className: "note" },
    `Up to ${size(1e6 * limits.max_upload_mb)} and ${limits.max_minutes} minutes; it is read by this server, and removed after a while.`)), () => {});
  return [
    make("p", { className: "lede" }, "What do the words, the voice and the face in a recording say, moment by moment, and how sure is that?"),
    drop];
}
