// A form with a recording on its way to the server, with progress, which `fetch` does not tell.
import { GONE, Problem, askToken, authorisation, readProblem } from "./api.js";

/** Send it and return the answer of the server as `{ status, body }`.
 * `onProgress` gets a share from 0 to 1; an abort of `signal` ends it. */
export async function upload(path, form, { onProgress, signal }) {
  const answer = await send(path, form, onProgress, signal);
  if (answer.status === 401) {
    await askToken();
    return upload(path, form, { onProgress, signal });
  }
  if (answer.status >= 400 || !answer.status) throw readProblem(answer.status, answer.text);
  return { status: answer.status, body: JSON.parse(answer.text) };
}

function send(path, form, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("Prefer", "respond-async");
    for (const [name, value] of Object.entries(authorisation())) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    });
    request.addEventListener("load", () => resolve({ status: request.status, text: request.responseText }));
    request.addEventListener("error", () => reject(new Problem(GONE)));
    request.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}
