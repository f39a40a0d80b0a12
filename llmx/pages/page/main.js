// The page: its parts, the keyboard, the theme, and, while a run goes on, what is new.

const EVERY = 2000, SOON = 50; // milliseconds between two questions to the server; while it reads a long file

function drawOverview() {
  const { summary } = store;
  const overview = byId("overview");
  const open = new Set([...overview.querySelectorAll("details[open]")].map((each) => each.dataset.fold));
  const filter = (path, value) => showRows(() => browser.set(path, value === null ? "null" : "is", value === null ? "" : asText(value)));
  const only = (show) => () => showRows(() => browser.only(show));
  const sections = [summarySection(summary), compareSection(summary, only("changed")), evaluationSection(summary, only("gold")), errorsSection(summary, (row) => showRows(() => browser.go(row))), fieldsSection(summary, columnsOf(summary), filter), trafficSection(summary)].filter(Boolean);
  const focus = placeOf(document.activeElement);
  overview.replaceChildren(...sections);
  for (const each of overview.querySelectorAll("details")) if (open.has(each.dataset.fold)) each.open = true;
  if (focus) focusAt(focus);
  byId("nav").replaceChildren(...sections.map((one) => link(one.id, one.querySelector("h2").textContent)), link("rows", "Rows"));
  drawState(summary);
  markCurrent();
}

// Where the focus is, to give it back when the parts are drawn anew under it.
const FOCUSABLE = "button, summary, a, [tabindex]";

function placeOf(element) {
  const part = element && element.closest("#overview > section");
  return part && part !== element ? [part.id, [...part.querySelectorAll(FOCUSABLE)].indexOf(element)] : null;
}

function focusAt([id, at]) {
  const part = byId(id);
  const element = part && part.querySelectorAll(FOCUSABLE)[at];
  if (element) element.focus({ preventScroll: true });
}

const isSelecting = () => !getSelection().isCollapsed && byId("overview").contains(getSelection().anchorNode);

const link = (id, title) => h("li", null, h("a", { href: "#" + id, text: title }));

const STATES = { complete: ["complete", "good"], running: ["running", "one"], stopped: ["stopped", "warn"], killed: ["killed", "bad"] };

function drawState(summary) {
  byId("name").replaceChildren(...shown(summary.name));
  const [word, kind] = STATES[summary.state] || [summary.state, "plain"];
  const state = byId("state");
  if (state.textContent !== word) state.textContent = word;
  state.className = "state " + kind;
}

function showRows(act) {
  location.hash = "#rows";
  route();
  act();
}

// Which part is shown: the rows, one of them, or the rest, scrolled to where the address says.
function route(first) {
  const where = location.hash.slice(1);
  const row = /^row-(\d+)$/.exec(where);
  const isRows = where === "rows" || row !== null;
  const was = !byId("browser").hidden;
  byId("overview").hidden = isRows;
  byId("browser").hidden = !isRows;
  document.body.classList.toggle("rows-open", isRows);
  markCurrent();
  if (isRows) {
    browser.size();
    if (row && detail.showing !== Number(row[1]) - 1) browser.go(Number(row[1]) - 1);
    else if (!was && browser.selected < 0 && !row) nothingSelected();
  } else if (where && where !== "main") {
    const part = byId(where);
    if (part) part.scrollIntoView(first ? { behavior: "instant" } : {});
  } else if (was) scrollTo(0, 0);
}

function nothingSelected() {
  byId("detail").replaceChildren(h("p", { class: "nothing", text: "Choose a row to see all of it." }));
}

function markCurrent() {
  const where = byId("browser").hidden ? location.hash.slice(1) || "summary" : "rows";
  for (const each of byId("nav").querySelectorAll("a")) {
    if (each.hash === "#" + where) {
      each.setAttribute("aria-current", "true");
      const nav = each.closest("nav"), place = each.getBoundingClientRect(), room = nav.getBoundingClientRect();
      if (place.left < room.left || place.right > room.right) nav.scrollLeft += place.left - room.left - 16;
    } else each.removeAttribute("aria-current");
  }
}

// The keyboard

const isTyping = (element) => element.matches("input, select, textarea");

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const typing = isTyping(event.target);
  if (event.key === "Escape") return back(typing, event);
  if (typing) {
    if (event.target.id === "search" && (event.key === "Enter" || event.key === "ArrowDown")) {
      event.preventDefault();
      byId("list").focus();
      browser.select(Math.max(0, browser.selected));
    }
    return;
  }
  if (event.key === "/") {
    event.preventDefault();
    showRows(() => byId("search").focus());
  } else if (!byId("browser").hidden) move(event);
}

function back(typing, event) {
  if (byId("browser").hidden) return;
  if (byId("browser").classList.contains("reading")) closeDetail();
  else if (typing && event.target.value && event.target.matches("input")) {
    event.target.value = "";
    browser.filter();
  } else byId("list").focus();
}

function move(event) {
  const inList = event.target === byId("list") || event.target === document.body || byId("detail").contains(event.target);
  const page = Math.max(1, Math.floor(byId("list").clientHeight / ROW) - 1);
  const steps = { j: 1, k: -1, ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
  const isLetter = event.key === "j" || event.key === "k";
  if (event.key in steps && (isLetter || (inList && !byId("detail").contains(event.target)))) {
    event.preventDefault();
    browser.select(browser.selected < 0 ? (event.key === "End" ? Infinity : 0) : browser.selected + steps[event.key]);
  } else if (event.key === "Enter" && event.target === byId("list") && browser.length) {
    event.preventDefault();
    browser.select(Math.max(0, browser.selected), true);
    byId("detail").focus();
  }
}

// The theme: the system's, or the reader's own choice.

const THEMES = { "": "Theme: system", light: "Theme: light", dark: "Theme: dark" };

function kept(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(name) || "";
    localStorage.setItem(name, value);
  } catch {} // a page out of a file may have no storage
  return "";
}

function setTheme(theme) {
  const known = theme in THEMES ? theme : "";
  document.documentElement.dataset.theme = known;
  byId("theme").textContent = THEMES[known];
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
  kept("llmx-theme", next);
  setTheme(next);
}

// While a run goes on

async function follow() {
  for (;;) {
    await new Promise((resume) => setTimeout(resume, store.summary.more ? SOON : EVERY));
    try {
      const { epoch, version } = store.summary;
      const text = await store.asked(`summary?since=${epoch}.${version}`);
      if (byId("state").title) byId("state").title = "";
      if (text) taken(JSON.parse(text));
    } catch {
      byId("state").textContent = "not connected";
      byId("state").className = "state warn";
      byId("state").title = "llmx view has ended; what came so far can be read";
    }
  }
}

function taken(summary) {
  const isOther = summary.epoch !== store.summary.epoch;
  store.take(summary);
  if (!isSelecting()) drawOverview();
  if (isOther) browser.selected = -1;
  browser.grow();
}

async function begin() {
  setTheme(kept("llmx-theme"));
  byId("theme").addEventListener("click", nextTheme);
  try {
    await store.open();
  } catch (error) {
    byId("loading").textContent = "The page's data could not be read (" + error.message + "). A browser of 2024 or later is needed.";
    return;
  }
  drawOverview();
  byId("loading").hidden = true;
  browser.start();
  nothingSelected();
  route(true);
  addEventListener("hashchange", () => route());
  addEventListener("keydown", pressed);
  document.documentElement.dataset.ready = "yes";
  if (live) follow();
}

begin();
