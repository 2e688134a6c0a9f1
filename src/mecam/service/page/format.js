// Numbers as the reports write them.

/** With a sign; a minus, not a hyphen. */
export function signed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return (value < 0 ? "−" : "+") + text;
}

export const percent = (share) => `${Math.round(100 * share)} %`;

export const words = (name) => name.replaceAll("_", " ");

/** Minutes and seconds. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function size(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** The score with its interval, or the probability, of a prediction. */
export function says(prediction) {
  if (prediction.score === undefined) {
    const known = (prediction.probabilities ?? {})[prediction.label];
    return known === undefined ? prediction.label ?? "" : `${prediction.label} (${percent(known)})`;
  }
  const ends = prediction.low === undefined ? "" : ` (${signed(prediction.low)} to ${signed(prediction.high)})`;
  return `${prediction.label} ${signed(prediction.score)}${ends}`;
}
