// The live view: what words, voice and face say, twice a second.
import { bars } from "./bars.js";
import { boxLayer } from "./boxes.js";
import { capture } from "./capture.js";
import { axis, chart } from "./chart.js";
import { closeDevices, openDevices } from "./devices.js";
import { hold, make, tell, waits } from "./dom.js";
import { percent, signed } from "./format.js";
import { gateStrips } from "./gates.js";
import { saidWords } from "./said.js";
import { Problem } from "./api.js";
import { showProblem } from "./problems.js";
import { ends } from "./scale.js";
import { Stream, mayTryAgain } from "./stream.js";

const HINTS = [
  "Say what you liked and what you did not: the score of your words moves, and its interval shows how sure that is.",
  "Say the same sentence calmly, then with energy: the activation follows.",
  "Smile, or raise your brows.",
  "Cover the camera, or clap near the microphone: the strips show what the filter removes.",
];

const NAMES = { text: "Words", audio: "Voice", vision: "Face" };

export function liveView(place, model) {
  const problem = make("div");
  const button = make("button", { type: "button", className: "main" }, "Start");
  const behind = make("span", { className: "note number" });
  const note = make("p", { className: "note" }, "The camera and the microphone are used while this runs; nothing is recorded.");
  const video = make("video", { className: "self", muted: true, playsInline: true, autoplay: true });
  const layer = boxLayer(video, { mirrored: true });
  const screen = make("div", { className: "screen mirrored" }, video, layer.element, make("p", { className: "empty" }, "The camera is off"));
  const said = saidWords((...text) => session?.text(...text));
  const shown = answers();
  let session = null;
  let stream = null;
  let stopTaking = () => {};

  async function start() {
    showProblem(problem, null);
    hold(button, true);
    button.textContent = "Starting …";
    try {
      const { task, live } = await model;
      if (live === false) throw new Problem({ what: "this server has no live view", fix: "start `mecam serve` with places for live sessions" });
      const opened = await openDevices();
      stream = opened.stream;
      if (place.hidden) return finish(null);  // the view was left while the browser asked
      note.textContent = opened.missing;
      video.srcObject = stream;
      screen.classList.toggle("on", stream.getVideoTracks().length > 0);
      connect(task);
    } catch (error) {
      finish(error);
    }
  }

  function connect(task) {
    session = new Stream({
      onReady: (ready) => begin(ready, task).catch(finish),
      onAnswer: (answer) => {
        shown.show(answer);
        behind.textContent = lag(answer, session.dropped);
        said.show(answer.texts);
        layer.show(answer.people ?? []);
      },
      onEnd: async (error) => {
        if (await mayTryAgain(error).catch(() => false)) connect(task);
        else finish(error);
      },
    });
  }

  async function begin(ready, task) {
    shown.clear(task, ready.window_s);
    const mine = session;
    said.open(ready.asr, () => mine.now());
    button.textContent = "Stop";
    hold(button, false);
    tell("Live");
    stopTaking = await capture({
      stream, video, picturesPerS: Math.min(5, ready.pictures_per_s ?? 5),
      now: () => mine.now(),
      onSound: (time, pcm) => mine.sound(time, pcm),
      onPicture: (time, jpeg) => mine.picture(time, jpeg),
      mayShow: () => mine.mayShow(),
    });
    if (mine.ended) stopTaking();
  }

  function finish(error) {
    stopTaking();
    stopTaking = () => {};
    closeDevices(stream);
    stream = video.srcObject = null;
    screen.classList.remove("on");
    layer.show([]);
    said.close();
    session = null;
    behind.textContent = "";
    button.textContent = "Start";
    hold(button, false);
    if (error) showProblem(problem, error);
  }

  const stop = () => (session ? session.end() : undefined);
  button.addEventListener("click", () => { if (!waits(button)) (session ? stop : start)(); });
  addEventListener("pagehide", stop);
  place.replaceChildren(
    make("p", { className: "lede" }, "What your words, voice and face say now, over the last ten seconds, and what the filter leaves out."),
    problem,
    make("div", { className: "live" },
      make("div", { className: "here" }, screen, make("p", { className: "actions" }, button, behind), note, said.element),
      shown.element));
  return { leave: stop };
}

/** What the answers say. */
function answers() {
  const element = make("div", { className: "answers" });
  let parts = null;

  function clear(task, window_s) {
    const [low, high] = ends(task);
    parts = {
      sentiment: tile("Sentiment", "of the words"),
      activation: tile("Activation", "of the voice"),
      expression: tile("Expression", "of the face"),
      score: chart({ name: "sentiment", range: [low, high], css: "tall", label: "sentiment over the last minute",
        levels: [[high, signed(high, 0)], [(low + high) / 2, "0"], [low, signed(low, 0)]] }),
      energy: chart({ name: "activation", range: [0, 1], css: "mid", label: "activation over the last minute",
        levels: [[1, "1"], [0.5, "0.5"], [0, "0"]] }),
      emotions: make("div"), expressions: make("div"), gates: gateStrips(), absent: make("ul", { className: "absent" }),
    };
    element.replaceChildren(
      make("div", { className: "tiles" }, parts.sentiment.element, parts.activation.element, parts.expression.element),
      make("section", {}, make("h2", {}, "The last minute"), parts.score.element, parts.energy.element, axis(60)),
      make("section", {}, make("h2", {}, "Kept and removed"),
        make("p", { className: "legend" }, make("span", {}, make("span", { className: "key kept" }), " kept by the filter"),
          make("span", {}, make("span", { className: "key out" }), " removed"), make("span", {}, "no colour: nothing there")),
        parts.gates.element, axis(window_s), parts.absent),
      make("section", { className: "two" },
        make("div", {}, make("h2", {}, "Emotions of the words"), parts.emotions),
        make("div", {}, make("h2", {}, "Expressions of the face"), parts.expressions)));
  }

  function show(answer) {
    const { prediction, now } = answer;
    const { score, low, high } = prediction;
    if (score !== undefined) parts.sentiment.put(signed(score, 1), prediction.label, low === undefined ? "" : `${signed(low, 1)} to ${signed(high, 1)}`);
    else if (prediction.label) parts.sentiment.put(prediction.label, "", shareOf(prediction));
    else parts.sentiment.put("—", "no words", "");
    const voice = now?.voice ?? {};
    const known = voice.activation !== undefined && voice.activation !== null;
    parts.activation.put(known ? voice.activation.toFixed(2) : "—", known ? energy(voice.activation) : "no voice",
      known && voice.low !== undefined ? `${voice.low.toFixed(2)} to ${voice.high.toFixed(2)}` : "");
    const faces = Object.entries(now?.face?.expressions ?? {}).sort((first, second) => second[1] - first[1]);
    parts.expression.put(faces.length ? faces[0][0] : "—", faces.length ? "" : "no face", faces.length ? percent(faces[0][1]) : "");
    parts.score.add(answer.time, score, low, high);
    parts.energy.add(answer.time, voice.activation, voice.low, voice.high);
    parts.emotions.replaceChildren(bars(prediction.emotions, { most: 4, label: "emotions of the words", empty: "no words" }));
    parts.expressions.replaceChildren(bars(now?.face?.expressions, { most: 4, label: "expressions of the face", empty: "no face" }));
    parts.gates.show(answer);
    const absent = Object.entries(answer.absent ?? {}).map(([modality, why]) => `${NAMES[modality] ?? modality}: ${why}`);
    const lines = [...absent, ...(answer.findings ?? [])];
    if (parts.absent.textContent !== lines.join("")) parts.absent.replaceChildren(...lines.map((line) => make("li", {}, line)));
  }

  element.append(make("h2", {}, "Things to try"), make("ul", { className: "hints" }, HINTS.map((hint) => make("li", {}, hint))));
  return { element, show, clear };
}

/** How late an answer is, and what was left out so that it is not later. */
function lag({ latency_s: seconds, dropped }, unsent) {
  const pictures = unsent + (dropped?.pictures ?? 0);
  const left = [pictures && (pictures === 1 ? "1 picture" : `${pictures} pictures`), dropped?.sound_s && `${dropped.sound_s.toFixed(1)} s of sound`].filter(Boolean);
  return `${seconds.toFixed(1)} s behind${left.length ? `, ${left.join(" and ")} left out` : ""}`;
}

const shareOf = ({ probabilities, label }) => (probabilities?.[label] === undefined ? "" : percent(probabilities[label]));

const energy = (value) => (value < 1 / 3 ? "calm" : value < 2 / 3 ? "medium" : "activated");

/** A number, what it is called, and its interval. */
function tile(name, of) {
  const [value, label, small] = [make("b", {}, "—"), make("span", { className: "label" }), make("span", { className: "number" })];
  const element = make("div", { className: "tile" }, make("span", {}, name, make("small", {}, ` ${of}`)), value, label, small);
  return { element, put: (number, words, interval) => {
    for (const [part, text] of [[value, number], [label, words], [small, interval]]) if (part.textContent !== text) part.textContent = text;
  } };
}
