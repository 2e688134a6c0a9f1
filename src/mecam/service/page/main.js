// The page: three views, and what the model says about itself.
import { askJson } from "./api.js";
import { make, withCode } from "./dom.js";
import { liveView } from "./live.js";
import { showProblem } from "./problems.js";
import { recordingView } from "./recording.js";
import { openTabs } from "./tabs.js";
import { textView } from "./text.js";

const place = (name) => document.getElementById(name);
const model = askJson("/v1/model");
const views = {
  recording: recordingView(place("recording"), model),
  text: textView(place("text"), model),
  live: liveView(place("live"), model),
};

let shown = "";
openTabs((name) => {
  views[shown]?.leave?.();
  shown = name;
  views[name].enter?.();
});

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

model.then(
  ({ name, version, notes }) => place("about").replaceChildren(
    make("p", { className: "note" }, `${capital(name)} · mecam ${version}. What you give goes to this server and nowhere else.`),
    ...(notes ?? []).map((note) => make("p", { className: "note" }, withCode(note))),
  ),
  (error) => showProblem(place("about"), error),
);
