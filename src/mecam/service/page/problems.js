// What went wrong, in words that help.
import { Problem } from "./api.js";
import { make, tell, withCode } from "./dom.js";

/** Show a problem in a place; null takes it away. */
export function showProblem(place, error) {
  if (!error) {
    place.replaceChildren();
    return;
  }
  const problem = error instanceof Problem ? error : new Problem({ what: `${error.message ?? error}` });
  if (!(error instanceof Problem)) console.warn(error);
  const box = make("div", { className: "problem", tabIndex: -1 },
    make("p", { className: "what" }, make("span", { className: "sign", "aria-hidden": "true" }, "!"), withCode(sentence(problem.what))),
    problem.where && make("p", { className: "note" }, problem.where),
    problem.fix && make("p", {}, withCode(sentence(problem.fix))),
  );
  place.replaceChildren(box);
  if (document.activeElement === document.body) box.focus();  // what had it is gone
  tell(sentence(problem.what));
}

const sentence = (text) => {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
};

/** Why there is no camera or microphone. */
export function mediaProblem(error) {
  const known = {
    NotAllowedError: { what: "the browser may not use the camera and the microphone",
      fix: "allow them for this page, with the sign beside the address, and try again" },
    NotFoundError: { what: "there is no camera and no microphone", fix: "connect one, or choose a file instead" },
    NotReadableError: { what: "the camera or the microphone is in use by another program",
      fix: "close the other program, and try again" },
  };
  return error instanceof Problem ? error : new Problem(known[error.name] ?? { what: `no camera and no microphone: ${error.message}` });
}
