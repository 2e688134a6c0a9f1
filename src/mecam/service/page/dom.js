// Elements, and what is said to those who do not see the page.

/** An element with properties or attributes, and children; what is null, undefined or false is left out. */
export function make(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name in element) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...shown(children));
  return element;
}

/** An element of SVG. */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...shown(children));
  return element;
}

/** A text in which commands stand between backticks, as children of an element. */
export const withCode = (text) => text.split("`").map((piece, at) => (at % 2 ? make("code", {}, piece) : piece));

/** Let a button wait, without taking the focus from it, as `disabled` would; whoever is clicked asks `waits`. */
export const hold = (button, on) => button.setAttribute("aria-disabled", on);
export const waits = (button) => button.getAttribute("aria-disabled") === "true";

/** Say something through the polite live region; the same words again are not repeated. */
export function tell(words) {
  const place = document.getElementById("told");
  if (place.textContent !== words) place.textContent = words;
}

const shown = (children) => children.flat().filter((child) => child !== null && child !== undefined && child !== false);
