// What was found in a recording: the player with the faces, the sections from the server, the files.
import { ask, askJson } from "./api.js";
import { boxLayer } from "./boxes.js";
import { make } from "./dom.js";
import { showProblem } from "./problems.js";

const FILES = { csv: "CSV", json: "JSON", vtt: "WebVTT", eaf: "ELAN", html: "HTML" };
const ENDLESS_S = 1e7;

/** `element`, its `heading`, and `close()`. */
export async function showResult({ file, job, onAgain, onRemove }) {
  const [fragment, tracks] = await Promise.all([
    ask(job.files.fragment).then((answer) => answer.text()),
    job.files.tracks ? askJson(job.files.tracks) : [],
  ]);
  const told = make("div", { className: "told" });
  told.innerHTML = fragment;  // made by the server, which escapes what it was given
  const heading = told.querySelector("h2");
  heading.tabIndex = -1;
  const player = playerOf(file);
  const side = make("aside", { className: "side", "aria-label": "Player and files" },
    player.element, downloads(file, job), contents(told),
    make("p", { className: "actions again" }, make("button", { type: "button", onclick: onAgain }, "Another recording")),
    make("p", { className: "note expiry" }, until(job), make("button", { type: "button", className: "link", onclick: onRemove }, "Remove it now")));
  const duration = Number(told.querySelector("[data-duration]").dataset.duration);
  window.followPlayer(player.media, told, duration);
  for (const strip of told.querySelectorAll(".timeline svg")) strip.addEventListener("click", () => player.media.play().catch(() => {}));
  const stop = followFaces(player, tracks);
  const close = () => { stop(); player.media.pause(); URL.revokeObjectURL(player.media.src); };
  return { element: make("div", { className: "result" }, side, told), heading, close };
}

/** The recording itself, as the browser has it. */
function playerOf(file) {
  const seen = !file.type.startsWith("audio");
  const media = make(seen ? "video" : "audio", { className: "player", controls: true, preload: "auto", playsInline: true,
    src: URL.createObjectURL(file) });
  const element = make("div", { className: "screen" }, media);
  const layer = seen ? boxLayer(media) : null;
  if (layer) element.append(layer.element);
  media.addEventListener("loadedmetadata", () => {
    if (media.duration !== Infinity) return;
    media.currentTime = ENDLESS_S;  // a clip recorded by a browser says its length only when it was read to its end
    media.addEventListener("seeked", () => { media.currentTime = 0; }, { once: true });
  });
  media.addEventListener("error", () => element.after(make("p", { className: "note" },
    "This browser cannot play this recording. All else works, and the HTML file has a copy that plays where one can be made.")), { once: true });
  return { element, media, layer };
}

/** Draw the boxes of the time that is shown; returns what ends it. */
function followFaces({ media, layer }, tracks) {
  if (!layer || !tracks.length) return () => {};
  const show = () => layer.show(tracks.map((track) => boxAt(track, media.currentTime)).filter(Boolean));
  let frame = 0;
  const run = () => { show(); if (!media.paused) frame = requestAnimationFrame(run); };
  media.addEventListener("play", run);
  for (const name of ["seeked", "loadeddata", "timeupdate"]) media.addEventListener(name, show);
  return () => cancelAnimationFrame(frame);
}

const LASTS_S = 0.5;  // without another box so near, a face is not seen

function boxAt(track, time) {
  let [low, high] = [0, track.times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (track.times[middle] <= time) low = middle + 1;
    else high = middle;
  }
  const at = Math.max(low - 1, 0);
  if (!track.times.length || Math.abs(time - track.times[at]) > LASTS_S) return null;
  return { person: track.person, box: track.boxes[at], speaking: track.speaking[at] };
}

/** Links to the sections, which move the view and not the address. */
function contents(told) {
  const sections = [...told.querySelectorAll("section[data-name]")];
  return make("nav", { className: "contents", "aria-label": "Contents" }, sections.map((section) => {
    const link = make("button", { type: "button" }, section.dataset.name);
    link.addEventListener("click", () => section.scrollIntoView({ block: "start" }));
    return link;
  }));
}

function until({ expires }) {
  const time = new Date(expires).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return expires ? `The result is kept on the server until ${time}. ` : "";
}

function downloads(file, job) {
  const problem = make("div");
  const stem = file.name.replace(/\.[^.]*$/, "") || "recording";
  const made = Object.entries(FILES).filter(([kind]) => job.files[kind]).map(([kind, name]) => {
    const button = make("button", { type: "button" }, name);
    button.addEventListener("click", async () => {
      showProblem(problem, null);
      try {
        save(await (await ask(job.files[kind])).blob(), `${stem}.${kind}`);
      } catch (error) {
        showProblem(problem, error);
      }
    });
    return button;
  });
  return make("div", { className: "files" }, make("h3", { id: "files" }, "Download"),
    make("p", { className: "actions", role: "group", "aria-labelledby": "files" }, made), problem);
}

function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
