// Parts that several views have: states, bars, problems, buttons, dialogs; and what is said to those who listen.

import { now } from "./api.js";
import { byId, count, duration, h, percent, shown } from "./dom.js";

const STATES = { queued: "plain", running: "one", succeeded: "good", failed: "bad", stopped: "warn", cancelled: "plain" };

export const ENDED = ["succeeded", "failed", "stopped", "cancelled"];

export const STATE_NAMES = Object.keys(STATES);

export const hasEnded = (job) => ENDED.includes(job.state);

export const badge = (state) => h("span", { class: "state " + (Object.hasOwn(STATES, state) ? STATES[state] : "plain") }, shown(String(state)));

export const nameOf = (job) => job.name || job.id;

// Money as text, as the service has it; null is what is not known.
export const amount = (cost) => (cost === null || cost === undefined ? null : Number(cost));

const UNITS = [[86_400, "day"], [3_600, "hour"], [60, "minute"]];

// How long ago a moment was.
export function age(moment) {
  const seconds = (now() - Date.parse(moment)) / 1000;
  if (Number.isNaN(seconds)) return "–";
  for (const [size, name] of UNITS) {
    const number = Math.floor(seconds / size);
    if (number >= 1) return `${count(number)} ${name}${number === 1 ? "" : "s"} ago`;
  }
  return "just now";
}

// Seconds from one moment to another, to now where the other is null.
export const between = (from, to) => (from ? Math.max(0, ((to ? Date.parse(to) : now()) - Date.parse(from)) / 1000) : null);

export const inWords = (seconds) => (seconds !== null && seconds >= 86_400 ? `${Math.floor(seconds / 86_400)}d ${Math.floor((seconds % 86_400) / 3600)}h` : duration(seconds));

// The share of a job's rows that have ended, the failed ones in a colour of their own.
export function progressBar(label) {
  const ok = h("span", { class: "fill" }), failed = h("span", { class: "fill bad" });
  const bar = h("div", { class: "track job-bar", role: "progressbar", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" }, ok, failed);
  bar.update = (job) => {
    const { total, settled } = job.rows;
    const bad = Math.min(settled, badRows(job));
    const share = (rows) => (total ? Math.min(100, (rows / total) * 100) : job.state === "succeeded" ? 100 : 0);
    ok.style.inlineSize = share(settled - bad) + "%";
    ok.className = "fill" + (job.state === "succeeded" || job.state === "failed" ? " good" : job.state === "running" || job.state === "queued" ? "" : " still");
    failed.style.inlineSize = share(bad) + "%";
    bar.setAttribute("aria-valuenow", String(Math.floor(share(settled))));
    bar.setAttribute("aria-valuetext", `${count(settled)} of ${count(total)} rows`);
  };
  return bar;
}

// Rows that came to nothing; those that could not be read are among them.
export const badRows = (job) => Math.max(job.rows.failed, job.rows.settled - job.rows.ok);

export const shareOf = (job) => percent(job.rows.total ? Math.floor((job.rows.settled / job.rows.total) * 1000) / 1000 : 1);

// What went wrong, as the service says it, with what can be done.
export function problemBox(error, again) {
  const about = [error.status && "HTTP " + error.status, error.request && "request " + error.request].filter(Boolean).join(" · ");
  return h("div", { class: "error-box", role: "alert" },
    h("p", null, h("b", null, shown(error.title || "Something of this page did not work"))),
    (error.detail || !error.title) && h("p", { class: "detail-text" }, h("bdi", null, shown((error.detail || error.message).slice(0, 4000)))),
    error.hint && h("p", null, "hint: ", h("bdi", null, shown(error.hint.slice(0, 1000)))),
    about && h("p", { class: "muted" }, shown(about)),
    again && h("p", null, button("Try again", again)));
}

export function button(title, act, kind = "quiet", more = {}) {
  return h("button", { type: "button", class: kind, ...more, on: { click: act } }, title);
}

// Ask before something that cannot be taken back; a promise of whether it was confirmed.
export function confirmed(title, text, yes) {
  return new Promise((resume) => {
    const dialog = h("dialog", { class: "card dialog", "aria-labelledby": "dialog-title", "aria-describedby": "dialog-text" },
      h("h2", { id: "dialog-title", text: title }), h("p", { id: "dialog-text" }, shown(text)),
      h("div", { class: "actions" }, button("Keep it", () => dialog.close("no")), button(yes, () => dialog.close("yes"), "quiet danger")));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resume(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Told to screen readers when they have a moment.
export function say(text) {
  if (byId("said").textContent !== text) byId("said").textContent = text;
}

// Text for a shell, and a button that copies it.
export function copied(text) {
  const act = async () => {
    try {
      await navigator.clipboard.writeText(text);
      own.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(place); // without a clipboard, it is for the reader's own keys
      own.textContent = "Selected";
    }
    say(own.textContent);
    setTimeout(() => (own.textContent = "Copy"), 2000);
  };
  const own = button("Copy", act, "quiet copy");
  const place = h("pre", { tabindex: "0" }, shown(text));
  return h("div", { class: "copied" }, place, own);
}

export const quoted = (text) => (/^[\w@%+=:,./?&-]+$/.test(text) && !/[?&]/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

// The address of something of the service, as other programs ask for it.
export const addressOf = (path) => new URL(path, document.baseURI).href.replace(/#.*$/, "");

// A heading that the focus goes to when its view is opened.
export const heading = (...content) => h("h2", { class: "view-title", tabindex: "-1" }, content);

export function tile(title, kind = "") {
  const figure = h("div", { class: "figure" }), about = h("div", { class: "muted" });
  const element = h("div", { class: "tile " + kind }, h("div", { class: "title", text: title }), figure, about);
  element.update = (value, more = "", state = kind) => {
    if (figure.textContent !== value) figure.textContent = value;
    if (about.textContent !== more) about.textContent = more;
    element.className = "tile " + state;
  };
  return element;
}

// Put children in the place of an element's own, where they are others.
export function put(element, ...children) {
  const wanted = children.flat(3).filter((child) => child !== null && child !== undefined && child !== false);
  element.replaceChildren(...wanted);
}

export const save = (blob, name) => {
  const address = URL.createObjectURL(blob);
  const anchor = h("a", { href: address, download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
};
