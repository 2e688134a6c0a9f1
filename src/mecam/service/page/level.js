// How loud the microphone is, as a bar.
import { make } from "./dom.js";

/** `element`, `follow(stream)` and `close()`. */
export function level() {
  const bar = make("span", { className: "fill" });
  const element = make("div", { className: "level-meter", "aria-hidden": "true" }, bar);
  let context = null;
  let frame = 0;
  function follow(stream) {
    if (!stream.getAudioTracks().length) return element.remove();
    context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const show = () => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, one) => sum + one * one, 0) / samples.length;
      bar.style.setProperty("--share", Math.min(1, Math.max(0, 1 + Math.log10(power + 1e-9) / 5)));
      frame = requestAnimationFrame(show);
    };
    show();
  }
  return { element, follow, close: () => { cancelAnimationFrame(frame); context?.close(); } };
}
