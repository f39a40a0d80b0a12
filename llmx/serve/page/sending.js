// A file on its way to the service, with how much of it has left.

import { Away, authorized, link, problemFrom } from "./api.js";

// Make a job: the request, then the file, in one body. `tell` is given the share that has left; returns the job.
// Sent by XMLHttpRequest, since fetch() does not say how far an upload is.
export function submitFile(request, head, idempotency, tell, signal) {
  const form = new FormData();
  form.append("request", new Blob([JSON.stringify(request)], { type: "application/json" }));
  form.append("file", new Blob([head.file], { type: head.kind }), head.file.name);
  const asked = new XMLHttpRequest();
  asked.open("POST", "v1/jobs");
  for (const [name, value] of Object.entries({ ...authorized(), "Idempotency-Key": idempotency })) asked.setRequestHeader(name, value);
  const stop = () => asked.abort();
  signal.addEventListener("abort", stop);
  addEventListener("beforeunload", warn);
  return new Promise((resume, fail) => {
    asked.upload.addEventListener("progress", (event) => tell(event.total ? event.loaded / event.total : 1));
    asked.addEventListener("load", () => (asked.status >= 200 && asked.status < 300 ? resume(JSON.parse(asked.responseText)) : fail(problemFrom(asked.status, asked.responseText, asked.getResponseHeader("Retry-After")))));
    asked.addEventListener("abort", () => fail(new DOMException("stopped", "AbortError")));
    asked.addEventListener("error", () => {
      link.say(false);
      fail(new Away());
    });
    asked.send(form);
  }).finally(() => {
    signal.removeEventListener("abort", stop);
    removeEventListener("beforeunload", warn);
  });
}

const warn = (event) => event.preventDefault();

// A word that nobody has used: the same one for the same request, so that a second try is not a second job.
export function newIdempotencyKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
