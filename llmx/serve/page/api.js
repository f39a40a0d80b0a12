// The service as the page knows it: requests with the reader's key, errors in the service's own words, and whether it answers.

export class Problem extends Error {
  constructor(status, said, retryAfter) {
    super(said.detail || said.title || "HTTP " + status);
    this.status = status;
    this.title = said.title || "HTTP " + status;
    this.detail = said.detail || "";
    this.hint = said.hint || "";
    this.request = said.request_id || "";
    this.retryAfter = retryAfter;
  }

  // Whether the same question would get the same answer.
  get isFinal() {
    return this.status >= 400 && this.status < 500 && ![408, 425, 429].includes(this.status);
  }
}

export class Away extends Error {
  constructor() {
    super("The service does not answer.");
    this.title = "The service does not answer";
    this.detail = "";
    this.hint = "is llmx serve running? the page tries again by itself";
  }
}

// The key: asked for once, and kept for as long as this tab is open.

const KEPT = "llmx-key";
let held = "";

export const key = {
  get value() {
    try {
      return sessionStorage.getItem(KEPT) || "";
    } catch {
      return held; // a browser that keeps nothing for us
    }
  },

  set value(text) {
    held = text;
    try {
      if (text) sessionStorage.setItem(KEPT, text);
      else sessionStorage.removeItem(KEPT);
    } catch {}
  },
};

let askFor = null; // (problem) => a promise of true once another key is there
let asking = null;

export function askForKeyBy(act) {
  askFor = act;
}

// One question to the reader, however many requests wait for its answer.
async function renewed(used, problem) {
  if (key.value !== used) return true;
  asking ||= askFor(problem).finally(() => (asking = null));
  return asking;
}

// Whether the service answers; "away" and "here" are told to whoever listens.

export const link = Object.assign(new EventTarget(), {
  isHere: true,

  say(isHere) {
    if (isHere === this.isHere) return;
    this.isHere = isHere;
    this.dispatchEvent(new Event(isHere ? "here" : "away"));
  },
});

// The service's clock less ours, in milliseconds: ages are by its clock.
let skew = 0;

export const now = () => Date.now() + skew;

function learnTime(response) {
  const date = Date.parse(response.headers.get("Date") || "");
  if (!Number.isNaN(date) && Math.abs(date - now()) > 2000) skew = date - Date.now();
}

export const authorized = () => (key.value ? { Authorization: "Bearer " + key.value } : {});

// Ask the service; a key that it does not take is asked for anew. Raises a Problem, or Away.
export async function ask(path, options = {}) {
  for (;;) {
    const used = key.value;
    const response = await sent(path, { ...options, headers: { ...authorized(), ...options.headers } });
    if (response.status === 401) {
      const problem = await problemOf(response);
      if (options.isQuiet || !(await renewed(used, problem))) throw problem;
    } else if (response.ok || response.status === 304) return response;
    else throw await problemOf(response);
  }
}

async function sent(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", credentials: "omit", redirect: "error", ...options });
  } catch (error) {
    if (options.signal && options.signal.aborted) throw error;
    link.say(false);
    throw new Away();
  }
  link.say(response.status !== 502 && response.status !== 504 ? true : isOurs(response));
  learnTime(response);
  return response;
}

// A proxy that cannot reach the service answers in its place, and not in its words.
const isOurs = (response) => (response.headers.get("Content-Type") || "").includes("json");

export async function problemOf(response) {
  return problemFrom(response.status, await response.text().catch(() => ""), response.headers.get("Retry-After"));
}

export function problemFrom(status, text, retryAfter) {
  let said = {};
  try {
    said = JSON.parse(text);
  } catch {}
  if (said === null || typeof said !== "object") said = {};
  for (const name of Object.keys(said)) if (typeof said[name] !== "string") said[name] = said[name] === null ? "" : JSON.stringify(said[name]);
  return new Problem(status, said, Number(retryAfter) || 0);
}

export const askJson = async (path, options) => (await ask(path, options)).json();

export const jobPath = (id) => "v1/jobs/" + encodeURIComponent(id);

// A wait that ends early when the view is left, or the service is back.
export function pause(milliseconds, signal) {
  return new Promise((resume) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resume();
    };
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}
