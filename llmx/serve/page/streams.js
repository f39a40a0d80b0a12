// What comes in pieces: text, server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), and a job's news.

import { Away, ask, jobPath, link, pause } from "./api.js";

const SILENCE = 45_000; // milliseconds without a byte after which a stream is taken for dead: it says something every 15 s
const FIRST = 500, LONGEST = 10_000; // milliseconds between two tries

// Parts of a body as text, to its end or until the caller has had enough.
export async function* textOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

// Events of a stream, {event, data, id}; comments are pings and are left out. `heard` is told of every byte.
export async function* eventsOf(body, heard = () => {}) {
  let rest = "", event = { event: "message", data: [], id: null };
  for await (const part of textOf(body)) {
    heard();
    const lines = (rest + part).split(/\r\n|\n|\r(?=[^\n])/);
    rest = lines.pop();
    for (const line of lines) {
      if (line) take(event, line);
      else {
        if (event.data.length) yield { ...event, data: event.data.join("\n") };
        event = { event: "message", data: [], id: event.id };
      }
    }
  }
}

function take(event, line) {
  const colon = line.indexOf(":");
  if (colon === 0) return;
  const name = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
  if (name === "data") event.data.push(value);
  else if (name === "event") event.event = value;
  else if (name === "id") event.id = value;
}

// Hand over each snapshot of a job until it has ended or `signal` says to stop; a connection that breaks is made anew, and says
// which snapshot was the last one. Returns the last snapshot, null where it was left early.
export async function followJob(id, show, signal) {
  let last = null, wait = FIRST;
  while (!signal.aborted) {
    try {
      for await (const event of snapshots(id, last, signal)) {
        last = event;
        wait = FIRST;
        const job = JSON.parse(event.data);
        drawn(show, job);
        if (event.event === "end") return job;
      }
    } catch (error) {
      if (error.isFinal) throw error;
      if (error.retryAfter) wait = Math.max(wait, error.retryAfter * 1000);
    }
    if (signal.aborted) break;
    link.say(false);
    await pause(wait * (0.75 + Math.random() / 2), signal);
    wait = Math.min(2 * wait, LONGEST);
  }
  return null;
}

// A mistake of the page's own is no broken connection.
function drawn(show, job) {
  try {
    show(job);
  } catch (error) {
    reportError(error);
  }
}

async function* snapshots(id, last, signal) {
  const dead = new AbortController();
  const stop = () => dead.abort();
  signal.addEventListener("abort", stop);
  let timer = setTimeout(stop, SILENCE);
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(stop, SILENCE);
  };
  try {
    const headers = { Accept: "text/event-stream", ...(last && last.id && { "Last-Event-ID": last.id }) };
    const response = await ask(jobPath(id) + "/events", { headers, signal: dead.signal });
    yield* eventsOf(response.body, heard);
  } catch (error) {
    if (error.isFinal || error instanceof Away || error.retryAfter) throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    dead.abort();
  }
}
