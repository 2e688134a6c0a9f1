// The server's answers, its problems, and the token that it may ask for.

const KEY = "mecam.token";

/** What went wrong: what, where, and what to do. */
export class Problem extends Error {
  constructor({ status = 0, what, where = "", fix = "" }) {
    super(what);
    Object.assign(this, { status, what, where, fix });
  }
}

export const GONE = { what: "the server does not answer", fix: "check that `mecam serve` still runs, and try again" };

/** The header that carries the token, where there is one. */
export function authorisation() {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

export const token = () => sessionStorage.getItem(KEY);

/** An answer with a good status; asks for the token where the server wants one. */
export async function ask(path, options = {}) {
  const answer = await once(path, options);
  if (answer.status === 401) {
    await askToken();
    return ask(path, options);
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

export const askJson = async (path, options) => (await ask(path, options)).json();

async function once(path, options) {
  try {
    return await fetch(path, { ...options, headers: { ...options.headers, ...authorisation() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(GONE);
  }
}

/** The problem in an answer with a bad status. */
export async function problemOf(answer) {
  return readProblem(answer.status, await answer.text());
}

export function readProblem(status, body) {
  try {
    return new Problem({ ...JSON.parse(body), status });
  } catch {
    return new Problem({ status, what: `the server answers with status ${status}` });
  }
}

let waiting = null;

/** Ask once, however many requests wait for it. */
export function askToken() {
  waiting ??= new Promise((resolve, reject) => {
    const dialog = document.getElementById("token");
    const field = document.getElementById("token-value");
    document.getElementById("token-wrong").hidden = !sessionStorage.getItem(KEY);
    field.value = "";
    dialog.returnValue = "";
    dialog.addEventListener("close", () => {
      waiting = null;
      if (dialog.returnValue === "use" && field.value) {
        sessionStorage.setItem(KEY, field.value);
        resolve();
      } else {
        reject(new Problem({ status: 401, what: "this server needs a token", fix: "reload the page and give it" }));
      }
    }, { once: true });
    dialog.showModal();
  });
  return waiting;
}

const TRIES = 30;  // of one second: a server that starts again goes on with its jobs

/** The states of a job as they change, up to the last one; the stage is `gone` while the server does not answer. */
export async function* watch(path, signal) {
  for (let tries = 0; tries < TRIES; tries += 1) {
    try {
      for await (const job of events(`${path}/events`, signal)) {
        tries = 0;
        yield job;
        if (isOver(job)) return;
      }
    } catch (error) {
      if (error.name === "AbortError" || (error.status && error.status < 500)) throw error;
    }
    yield { state: "running", stage: "gone" };
    await new Promise((resolve) => setTimeout(resolve, 1000));
    signal.throwIfAborted();
  }
  throw new Problem(GONE);
}

export const isOver = (job) => ["done", "failed", "cancelled"].includes(job.state);

async function* events(path, signal) {
  const answer = await ask(path, { signal, headers: { Accept: "text/event-stream" } });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value.replaceAll("\r\n", "\n");
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
      if (data) yield JSON.parse(data);
    }
  }
}
