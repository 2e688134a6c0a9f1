// The messages of `/v1/stream`: what is sent, and what comes back.
import { GONE, Problem, askToken, token } from "./api.js";

const SOUND = 1;
const PICTURE = 2;
const FULL_BYTES = 200_000;  // waiting to be sent; more pictures would come too late

/** A session: `onReady(ready)`, `onAnswer(answer)`, and `onEnd(problem)`, once, with null where it was ended here. */
export class Stream {
  constructor({ onReady, onAnswer, onEnd, start = {} }) {
    this.since = Infinity;
    this.dropped = 0;
    this.ended = false;
    this.ready = false;
    this.onEnd = onEnd;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(`${scheme}//${location.host}/v1/stream`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.say({ type: "start", ...(token() ? { token: token() } : {}), ...start });
    this.socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "ready") {
        this.since = performance.now();  // the server's clock starts here, too
        this.ready = true;
        onReady(message);
      }
      else if (message.type === "answer") onAnswer(message);
      else if (message.type === "error") this.finish(new Problem(message));
    };
    this.socket.onclose = ({ code }) => this.finish(new Problem(CLOSED[code] ?? GONE));
  }

  /** Seconds since the session is ready. */
  now() { return (performance.now() - this.since) / 1000; }

  sound(time, pcm) { this.binary(SOUND, time, pcm); }

  picture(time, jpeg) { this.binary(PICTURE, time, jpeg); }

  /** Whether there is room for a picture; where there is none, one is counted as dropped. */
  mayShow() {
    const room = this.ready && this.socket.bufferedAmount < FULL_BYTES;
    if (this.ready && !room) this.dropped += 1;
    return room;
  }

  text(id, text, start, stop) { if (this.ready) this.say({ type: "text", id, text, start, stop }); }

  end() {
    if (this.socket.readyState === WebSocket.OPEN) this.say({ type: "end" });
    this.finish(null);
  }

  finish(problem) {
    if (this.ended) return;
    this.ended = true;
    this.socket.close();
    this.onEnd(problem);
  }

  say(message) { this.socket.send(JSON.stringify(message)); }

  binary(kind, time, payload) {
    if (!this.ready || this.socket.readyState !== WebSocket.OPEN) return;
    const message = new Uint8Array(9 + payload.byteLength);
    const view = new DataView(message.buffer);
    view.setUint8(0, kind);
    view.setFloat64(1, time, true);
    message.set(new Uint8Array(payload), 9);
    this.socket.send(message);
  }
}

const CLOSED = {
  1008: { what: "the server refused the session", fix: "reload the page, and start again" },
  1011: { what: "the session ended on the server", fix: "start again" },
  1012: { what: "the server stops", fix: "start again in a minute" },
  1013: { what: "all live places of this server are taken", fix: "try again in a minute" },
};

/** Ask for a token where the session was refused for one; whether it is worth another try. */
export async function mayTryAgain(problem) {
  if (problem?.status !== 401) return false;
  await askToken();
  return true;
}
