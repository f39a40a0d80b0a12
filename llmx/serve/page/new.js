// A new job: a file, what is wanted of its rows, a try on the first of them, and the whole of it.

import { askJson } from "./api.js";
import { submitCommand } from "./curl.js";
import { asText, count, dollars, h, plainText, plural, shown } from "./dom.js";
import { headOf } from "./file.js";
import { limitsStrip } from "./limits.js";
import { amount, button, copied, heading, problemBox, put, say, shareOf } from "./parts.js";
import { newIdempotencyKey, submitFile } from "./sending.js";
import { Wanted } from "./wanted.js";
import { tryRows } from "./trying.js";

const TRIED = 3; // rows
const SHOWN = 5; // rows of the file
const PASTED = "pasted rows";

let form = null; // it stays as it is while other views are looked at

export async function newView(main, _, signal) {
  document.title = "New job · llmx";
  form ||= new Form();
  main.append(h("div", { class: "view-head" }, heading("New job")), limitsStrip(signal), form.element);
  await form.open(signal);
}

class Form {
  constructor() {
    this.head = null;
    this.wanted = new Wanted(() => this.changed());
    this.chooser = h("input", { type: "file", id: "file", class: "unseen", accept: ".jsonl,.ndjson,.csv,.tsv,.tab,.parquet,.pq,.gz,.zst,.txt,.json", on: { change: () => this.chooser.files[0] && this.take(this.chooser.files[0]) } });
    this.drop = h("div", { class: "drop" }, h("p", null, h("b", { text: "Drop a file of rows here" })), h("p", { class: "muted", text: "JSON Lines, CSV, TSV or Parquet; .gz and .zst too" }), h("p", { class: "actions center" }, this.chooser, h("label", { for: "file", class: "primary", text: "Choose a file" }), button("Paste rows instead", () => this.offerPaste())));
    this.paste = h("div", { hidden: true });
    this.shown = h("div");
    this.tried = h("div");
    this.tryButton = button("Try the first rows", () => this.tryIt(), "primary");
    this.sendButton = button("Run all rows as a job", () => this.send());
    this.stopButton = button("Stop", () => this.running && this.running.abort(), "quiet", { hidden: true });
    this.sent = h("progress", { max: "1", "aria-label": "Upload", hidden: true });
    this.told = h("div");
    this.shell = h("details", { on: { toggle: () => this.drawShell() } }, h("summary", { text: "The same from a shell" }));
    this.element = h("div", { class: "new" }, step(1, "Rows", this.drop, this.paste, this.shown), step(2, "What you want of each", this.wanted.element),
      step(3, "Try, then run", h("div", { class: "actions" }, this.tryButton, this.sendButton, this.stopButton, this.sent), this.told, this.tried, this.shell));
    this.listen();
  }

  async open(signal) {
    signal.addEventListener("abort", () => this.trying && this.trying.abort());
    await this.wanted.load(signal);
  }

  listen() {
    const over = (is) => (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      this.drop.classList.toggle("over", is);
    };
    this.element.addEventListener("dragover", over(true));
    this.element.addEventListener("dragleave", over(false));
    this.element.addEventListener("drop", (event) => {
      over(false)(event);
      if (event.dataTransfer.files[0]) this.take(event.dataTransfer.files[0]);
    });
  }

  offerPaste() {
    this.paste.hidden = false;
    const field = h("textarea", { id: "pasted", rows: "5", spellcheck: "false", placeholder: '{"text": "my order has not arrived"}' });
    put(this.paste, h("label", { for: "pasted", text: "Rows as JSON Lines or CSV" }), field, h("div", { class: "actions" }, button("Use these rows", () => field.value.trim() && this.take(new File([field.value], PASTED)), "quiet")));
    field.focus();
  }

  async take(file) {
    this.chooser.value = "";
    put(this.tried);
    put(this.told);
    this.head = null;
    this.tryButton.className = "primary";
    this.sendButton.className = "quiet";
    try {
      this.head = await headOf(file);
    } catch (error) {
      put(this.shown, problemBox({ title: "The file could not be read", message: error.message, hint: "choose it again: it may have been changed or moved" }));
      return;
    }
    this.wanted.offerColumns(this.head.columns);
    this.drawRows();
    this.changed();
    say(`${file.name}: ${this.sizeText()}`);
  }

  sizeText() {
    const { number, isExact } = this.head;
    return number === null ? "rows are not counted here" : (isExact ? "" : "about ") + plural(number, "row");
  }

  drawRows() {
    const { file, format, columns, rows, bad, notes } = this.head;
    const about = [format.toUpperCase(), sizeOf(file.size), this.sizeText(), columns.length && plural(columns.length, "column")].filter(Boolean).join(" · ");
    const cells = (row) => columns.slice(0, 40).map((name) => h("td", null, Object.hasOwn(row.data, name) ? h("bdi", { class: "clip" }, shown(asText(row.data[name]).slice(0, 300))) : h("span", { class: "null", text: "–" })));
    put(this.shown,
      h("p", { class: "file-name" }, h("b", null, h("bdi", null, shown(file.name.slice(0, 200)))), h("span", { class: "muted", text: " " + about })),
      notes.map((note) => h("p", { class: "note", role: "alert", text: note })),
      bad.length > 0 && h("p", { class: "note", text: `${plural(bad.length, "line")} of those looked at cannot be read: line ${bad.slice(0, 5).map((one) => `${count(one.line)} (${one.message})`).join(", ")}${bad.length > 5 ? " …" : ""}. Such lines end as errors.` }),
      rows.length > 0 && h("div", { class: "scroll preview", tabindex: "0", role: "region", "aria-label": "The first rows" }, h("table", null, h("caption", { class: "unseen", text: "The first rows" }), h("thead", null, h("tr", null, columns.slice(0, 40).map((name) => h("th", { scope: "col" }, shown(name.slice(0, 80)))))), h("tbody", null, rows.slice(0, SHOWN).map((row) => h("tr", null, cells(row)))))));
    this.drop.classList.add("small");
    this.drop.querySelector("b").textContent = "Drop another file here";
  }

  // Whatever was changed: what can be done now, and the commands.
  changed() {
    const rows = this.head ? Math.min(TRIED, this.head.rows.length) : 0;
    this.tryButton.textContent = rows ? `Try the first ${rows === 1 ? "row" : count(rows) + " rows"}` : "Try the first rows";
    this.sendButton.textContent = this.head && this.head.number ? `Run ${this.sizeText()} as a job` : "Run all rows as a job";
    if (this.shell.open) this.drawShell();
  }

  // The request as the form says it, null where something is missing; that is said, and has the focus.
  request(isTry) {
    put(this.told);
    const problem = !this.head ? ["Choose a file of rows first.", this.chooser] : isTry && !this.head.rows.length ? ["None of its rows can be shown, so none can be tried; it can be run.", this.sendButton] : null;
    const found = problem ? null : this.wanted.read(!isTry);
    if (found && found.request) return found.request;
    const [text, place] = problem || found.problem;
    put(this.told, h("p", { class: "note", role: "alert" }, shown(text)));
    if (this.wanted.more.contains(place)) this.wanted.more.open = true;
    place.focus();
    return null;
  }

  async tryIt() {
    if (this.running) return;
    const request = this.request(true);
    if (!request) return;
    this.running = this.trying = new AbortController();
    this.busy(true);
    const ask = Object.fromEntries(Object.entries(request).filter(([name]) => !this.wanted.jobOnly.includes(name)));
    const rows = this.head.rows.slice(0, TRIED);
    const usage = await tryRows(this.tried, ask, rows, this.running.signal);
    if (usage) {
      this.foretell(usage, rows.length);
      this.tryButton.className = "quiet";
      this.sendButton.className = "primary";
    }
    this.running = this.trying = null;
    this.busy(false);
  }

  foretell(usage, rows) {
    const cost = amount(usage.cost), { number } = this.head;
    if (cost === null || !cost || !number || number <= rows) return;
    this.tried.append(h("p", null, "At this price ", h("b", { text: this.sizeText() }), " cost about ", h("b", { text: dollars((cost / rows) * number) }), "."));
  }

  async send() {
    if (this.running) return;
    const request = this.request(false);
    if (!request) return;
    if (!request.name && this.head.file.name !== PASTED) request.name = this.head.file.name.slice(0, 200);
    this.running = new AbortController();
    this.busy(true);
    this.sent.hidden = false;
    const place = location.hash;
    try {
      const tell = (share) => (this.sent.value = share);
      const job = await submitFile(request, this.head, this.keyOf(request), tell, this.running.signal);
      this.idempotency = null;
      say("The job is made: " + shareOf(job));
      if (location.hash === place) location.hash = "#/job/" + encodeURIComponent(job.id);
    } catch (error) {
      if (error.status === 401) askJson("v1/models").catch(() => {}); // asks for another key
      if (error.name !== "AbortError") put(this.told, problemBox(error, () => this.send()));
      if (error.name !== "AbortError" && !error.title) reportError(error);
    }
    this.running = null;
    this.sent.hidden = true;
    this.busy(false);
  }

  keyOf(request) {
    const { name, size, lastModified } = this.head.file;
    const same = JSON.stringify([request, name, size, lastModified]);
    if (!this.idempotency || this.idempotency.same !== same) this.idempotency = { same, key: newIdempotencyKey() };
    return this.idempotency.key;
  }

  busy(is) {
    this.tryButton.disabled = this.sendButton.disabled = is;
    this.stopButton.hidden = !is;
    this.element.setAttribute("aria-busy", String(is));
  }

  drawShell() {
    const found = this.wanted.read();
    const text = found.request && this.head ? submitCommand(found.request, this.head.file.name === PASTED ? "rows.jsonl" : plainText(this.head.file.name), this.head.kind) : null;
    put(this.shell, this.shell.firstChild, text ? copied(text) : h("p", { class: "muted", text: "Once a file and fields are chosen." }));
  }
}

const step = (number, title, ...content) => h("section", { class: "card step", "aria-labelledby": "step-" + number }, h("h3", { id: "step-" + number }, h("span", { class: "step-number", "aria-hidden": "true", text: String(number) }), title), content);

function sizeOf(bytes) {
  if (bytes < 1000) return plural(bytes, "byte");
  return bytes < 1e6 ? (bytes / 1e3).toFixed(0) + " kB" : bytes < 1e9 ? (bytes / 1e6).toFixed(1) + " MB" : (bytes / 1e9).toFixed(2) + " GB";
}
