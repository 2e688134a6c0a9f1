// Record a clip with the camera and the microphone.
import { Problem } from "./api.js";
import { closeDevices, openDevices } from "./devices.js";
import { make, tell } from "./dom.js";
import { clock } from "./format.js";
import { level } from "./level.js";

const KINDS = ["video/webm;codecs=vp8,opus", "video/webm", "video/mp4", "audio/webm;codecs=opus", "audio/mp4", "audio/ogg"];
const LONGEST_S = 300;

/** A panel that records: `element`, and `close()`, which gives the devices back. */
export function recorder({ onDone, onProblem, onCancel }) {
  const video = make("video", { className: "self", muted: true, playsInline: true, autoplay: true });
  const time = make("span", { className: "number", role: "timer" }, clock(0));
  const meter = level();
  const note = make("p", { className: "note" });
  const button = make("button", { type: "button", className: "main", disabled: true }, "Start recording");
  const element = make("div", { className: "card recorder" }, video, meter.element, note,
    make("p", { className: "actions" }, button, make("button", { type: "button", onclick: onCancel }, "Cancel"), time));
  let stream = null;
  let running = null;
  let clockwork = 0;
  let closed = false;

  function close() {
    closed = true;
    clearInterval(clockwork);
    if (running?.state === "recording") {
      running.onstop = null;
      running.stop();
    }
    meter.close();
    closeDevices(stream);
  }

  async function open() {
    try {
      if (!window.MediaRecorder) throw new Problem({ what: "this browser cannot record", fix: "record with another program, and choose the file" });
      const opened = await openDevices();
      stream = opened.stream;
      if (closed) return closeDevices(stream);
      note.textContent = opened.missing;
      if (stream.getVideoTracks().length) video.srcObject = stream;
      else video.remove();
      meter.follow(stream);
      button.disabled = false;
      button.focus();
    } catch (error) {
      if (!closed) onProblem(error);
    }
  }

  function record() {
    const seen = stream.getVideoTracks().length > 0;
    const kind = KINDS.find((one) => MediaRecorder.isTypeSupported(one) && one.startsWith("video") === seen);
    running = new MediaRecorder(stream, kind ? { mimeType: kind } : {});
    const pieces = [];
    running.ondataavailable = (event) => pieces.push(event.data);
    running.onstop = () => {
      const type = running.mimeType || kind || "video/webm";
      const ending = type.includes("mp4") ? "mp4" : type.includes("ogg") ? "ogg" : "webm";
      onDone(new File(pieces, `recording.${ending}`, { type: type.split(";")[0] }));
    };
    running.start(1000);
    const since = performance.now();
    clockwork = setInterval(() => {
      const seconds = (performance.now() - since) / 1000;
      time.textContent = clock(seconds);
      if (seconds >= LONGEST_S) running.stop();
    }, 250);
    button.textContent = "Stop";
    element.classList.add("on");
    tell("Recording");
  }

  button.addEventListener("click", () => { if (running) running.stop(); else record(); });
  open();
  return { element, close };
}
