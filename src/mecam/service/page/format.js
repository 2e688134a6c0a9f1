// Numbers as the reports write them.

/** A frame or a word with a gate below it is shown as removed, as in the reports. */
export const REMOVED = 0.5;

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
  const [unit, name] = bytes < 1e6 ? [1e3, "kB"] : bytes < 1e9 ? [1e6, "MB"] : [1e9, "GB"];
  const amount = bytes / unit;
  return `${amount < 10 ? Math.max(0.1, amount.toFixed(1)) : Math.round(amount)} ${name}`;
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
