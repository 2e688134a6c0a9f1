// Boxes of faces over a picture, each in the colour of its person.
import { make } from "./dom.js";

const COLOURS = 8;

export const personClass = (person) => `person${(person - 1) % COLOURS}`;

/** A layer over a video: `element` to be put beside it, and `show(people)`, each `{ person, box, speaking }`. */
export function boxLayer(video, { mirrored = false } = {}) {
  const element = make("div", { className: "boxes", "aria-hidden": "true" });
  const known = new Map();

  // Where the picture lies in its element, which may be wider or higher.
  const fit = () => {
    const { videoWidth, videoHeight, clientWidth, clientHeight, offsetLeft, offsetTop } = video;
    if (!videoWidth || !clientWidth) return;
    const size = Math.min(clientWidth / videoWidth, clientHeight / videoHeight);
    const [width, height] = [videoWidth * size, videoHeight * size];
    Object.assign(element.style, { width: `${width}px`, height: `${height}px`,
      left: `${offsetLeft + (clientWidth - width) / 2}px`, top: `${offsetTop + (clientHeight - height) / 2}px` });
  };
  new ResizeObserver(fit).observe(video);
  video.addEventListener("loadedmetadata", fit);
  video.addEventListener("resize", fit);

  function show(people) {
    for (const [person, box] of known) {
      if (!people.some((one) => one.person === person)) { box.remove(); known.delete(person); }
    }
    for (const { person, box, speaking } of people) {
      if (!known.has(person)) {
        const made = make("div", { className: "face-box" }, make("span", { className: personClass(person) }));
        made.style.setProperty("--person", `var(--class${(person - 1) % COLOURS})`);
        known.set(person, made);
        element.append(made);
      }
      const made = known.get(person);
      const [left, top, width, height] = box;
      const at = mirrored ? 1 - left - width : left;
      for (const [side, share] of Object.entries({ left: at, top, width, height })) made.style[side] = `${100 * share}%`;
      made.classList.toggle("speaking", speaking);
      made.firstChild.textContent = speaking ? `${person} speaks` : `${person}`;
    }
  }
  return { element, show };
}
