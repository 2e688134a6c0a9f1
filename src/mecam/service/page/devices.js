// The camera and the microphone, as far as they are there and allowed.
import { Problem } from "./api.js";
import { mediaProblem } from "./problems.js";

const BOTH = { video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } },
  audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } };

/** A stream of both, or of the one that there is: `{ stream, missing }`, with what is missing in words. */
export async function openDevices() {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Problem({ what: "browsers give the camera and the microphone to secure pages only",
      fix: "open this page at http://localhost, or put HTTPS in front of the server" });
  }
  try {
    return { stream: await navigator.mediaDevices.getUserMedia(BOTH), missing: "" };
  } catch (error) {
    for (const [kind, missing] of [["audio", "camera"], ["video", "microphone"]]) {
      if (!(await mayAsk(error, kind))) continue;
      try {
        const stream = await navigator.mediaDevices.getUserMedia({ [kind]: BOTH[kind] });
        const why = error.name === "NotAllowedError" ? "not allowed" : "not there";
        return { stream, missing: `The ${missing} is ${why}: only the ${kind === "audio" ? "sound" : "picture"} is used.` };
      } catch { /* the first error says why */ }
    }
    throw mediaProblem(error);
  }
}

/** Whether to ask for one device alone: not a second time what has just been refused. */
async function mayAsk(error, kind) {
  if (error.name !== "NotAllowedError") return true;
  try {
    const { state } = await navigator.permissions.query({ name: kind === "audio" ? "microphone" : "camera" });
    return state === "granted";
  } catch {
    return false;
  }
}

export const closeDevices = (stream) => stream?.getTracks().forEach((track) => track.stop());
