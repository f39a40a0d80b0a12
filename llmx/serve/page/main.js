// The page: which view is open, the key, the theme, the keyboard, and whether the service answers.

import { key, askForKeyBy, link } from "./api.js";
import { byId, h } from "./dom.js";
import { drawKey, wantKey } from "./key.js";
import { jobsView } from "./jobs.js";
import { jobView } from "./job.js";
import { newView } from "./new.js";
import { rowsView } from "./rows.js";
import { heading, problemBox, say } from "./parts.js";

let open = null; // what the view that is open listens to: aborted when it is left
let seen = null;

// [view, its parameters] of an address such as #/job/ID/results?q=…
function placed(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [name = "", id = "", part = ""] = path.split("/").map(decoded);
  const asked = new URLSearchParams(query);
  if (name === "" || name === "jobs") return ["jobs", jobsView, { asked }];
  if (name === "new") return ["new", newView, { asked }];
  if (name === "job" && id && !part) return ["jobs", jobView, { id, asked }];
  if (name === "job" && id && (part === "results" || part === "errors")) return ["jobs", rowsView, { id, kind: part, asked }];
  return ["", nowhere, { asked }];
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function nowhere(main) {
  document.title = "Not here · llmx";
  main.append(heading("There is nothing at this address"), h("p", null, h("a", { href: "#/jobs", text: "To the jobs" })));
}

async function route() {
  if (location.hash === "#main") return;
  if (open) open.abort();
  open = new AbortController();
  const here = open, main = byId("main");
  const [part, view, parameters] = placed(location.hash);
  for (const each of document.querySelectorAll(".bar nav a")) {
    if (each.dataset.part === part) each.setAttribute("aria-current", location.hash === each.hash ? "page" : "true");
    else each.removeAttribute("aria-current");
  }
  document.body.className = "";
  main.replaceChildren();
  const isOther = seen !== null && seen !== location.hash.split("?")[0];
  seen = location.hash.split("?")[0];
  try {
    const opening = view(main, parameters, here.signal);
    if (isOther) arrive(main);
    await opening;
  } catch (error) {
    if (here.signal.aborted) return;
    main.append(problemBox(error, route));
    if (!error.title) reportError(error);
  }
}

// The focus goes to the new view's title, as it would on a page that was loaded.
function arrive(main) {
  scrollTo(0, 0);
  const title = main.querySelector(".view-title");
  (title || main).focus({ preventScroll: true });
}

// The theme: the system's, or the reader's own choice.

const THEMES = { "": "Theme: system", light: "Theme: light", dark: "Theme: dark" };

function kept(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(name) || "";
    localStorage.setItem(name, value);
  } catch {}
  return "";
}

function setTheme(theme) {
  const known = Object.hasOwn(THEMES, theme) ? theme : "";
  document.documentElement.dataset.theme = known;
  byId("theme").textContent = THEMES[known];
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
  kept("llmx-theme", next);
  setTheme(next);
}

function drawLink() {
  const place = byId("link");
  place.textContent = link.isHere ? "" : "not connected, trying again";
  place.className = "state warn";
  place.hidden = link.isHere;
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
  if (event.target.closest("input, select, textarea, dialog")) return;
  if (event.key === "n") location.hash = "#/new";
  else if (event.key === "g") location.hash = "#/jobs";
  else return;
  event.preventDefault();
}

function begin() {
  setTheme(kept("llmx-theme"));
  byId("theme").addEventListener("click", nextTheme);
  askForKeyBy(wantKey);
  drawKey();
  byId("key").addEventListener("click", () => {
    key.value = "";
    drawKey();
    say("The key is forgotten");
    route();
  });
  link.addEventListener("away", drawLink);
  link.addEventListener("here", drawLink);
  addEventListener("offline", () => link.say(false));
  drawLink();
  addEventListener("hashchange", route);
  addEventListener("keydown", pressed);
  document.documentElement.dataset.ready = "yes";
  route();
}

begin();
