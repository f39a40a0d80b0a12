// The list of jobs, one page of it at a time, kept fresh while it is looked at.

import { askJson, pause } from "./api.js";
import { count, dollars, h, shown } from "./dom.js";
import { limitsStrip } from "./limits.js";
import { STATE_NAMES, age, amount, badRows, badge, between, hasEnded, heading, inWords, nameOf, problemBox, progressBar, put, say } from "./parts.js";

const PAGE = 50; // jobs on a page
const SOON = 2_000, LATE = 8_000; // milliseconds between two looks: while a job runs, and while none does

export async function jobsView(main, { asked }, signal) {
  document.title = "Jobs · llmx";
  const state = STATE_NAMES.includes(asked.get("state")) ? asked.get("state") : "";
  const before = asked.get("before") || "";
  const list = new List(state, before);
  main.append(head(state), limitsStrip(signal), list.element);
  while (!signal.aborted) {
    if (!document.hidden) await list.look(signal);
    await pause(list.isBusy ? SOON : LATE, signal);
  }
}

const address = (state, before) => {
  const query = new URLSearchParams({ ...(state && { state }), ...(before && { before }) }).toString();
  return "#/jobs" + (query && "?" + query);
};

function head(state) {
  const filter = h("nav", { class: "pills", "aria-label": "Jobs by state" },
    h("a", { href: address("", ""), text: "All", "aria-current": state ? null : "true" }),
    STATE_NAMES.map((name) => h("a", { href: address(name, ""), text: name, "aria-current": name === state ? "true" : null })));
  return h("div", { class: "view-head" }, heading("Jobs"), filter, h("a", { class: "primary", href: "#/new", text: "New job" }));
}

class List {
  constructor(state, before) {
    this.state = state;
    this.before = before;
    this.rows = new Map();
    this.isBusy = true;
    this.body = h("tbody");
    this.table = h("table", { class: "stacking jobs" }, h("caption", { class: "unseen", text: "Jobs, newest first" }),
      h("thead", null, h("tr", null, ["Job", "State", "Rows", "Failed", "Cost", "Model", "Made"].map((title) => h("th", { scope: "col", class: ["Failed", "Cost"].includes(title) ? "num" : null, text: title })))), this.body);
    this.told = h("div");
    this.turns = h("nav", { class: "turns", "aria-label": "Pages of jobs" });
    this.element = h("div", { "aria-busy": "true" }, this.told, this.turns);
    put(this.told, h("p", { class: "nothing", role: "status", text: "Asking for the jobs …" }));
  }

  async look(signal) {
    const query = new URLSearchParams({ limit: String(PAGE), ...(this.state && { state: this.state }), ...(this.before && { before: this.before }) });
    try {
      const { jobs, next } = await askJson("v1/jobs?" + query, { signal });
      if (signal.aborted) return;
      this.draw(jobs, next);
    } catch (error) {
      if (signal.aborted) return;
      if (!error.title) throw error;
      if (error.isFinal || !this.rows.size) put(this.told, problemBox(error, () => this.look(signal)));
    }
    this.element.setAttribute("aria-busy", "false");
  }

  draw(jobs, next) {
    const rows = new Map(jobs.map((job) => [job.id, this.rows.get(job.id) || new Row(job)]));
    for (const job of jobs) rows.get(job.id).update(job);
    const elements = [...rows.values()].map((row) => row.element);
    if (elements.length !== this.body.children.length || elements.some((element, at) => this.body.children[at] !== element)) this.body.replaceChildren(...elements);
    this.rows = rows;
    this.isBusy = jobs.some((job) => !hasEnded(job));
    if (!jobs.length) put(this.told, this.nothing());
    else if (!this.table.isConnected) put(this.told, h("div", { class: "card flush" }, this.table));
    const last = jobs.length ? jobs[jobs.length - 1].id : "";
    if (this.drawn === (next && last) + "/" + this.before) return;
    this.drawn = (next && last) + "/" + this.before;
    put(this.turns, this.before && h("a", { href: address(this.state, ""), text: "Newest" }), next && h("a", { href: address(this.state, next), text: "Older jobs" }));
    say(jobs.length ? `${count(jobs.length)} jobs are shown` : "There are no jobs");
  }

  nothing() {
    if (this.state || this.before) return h("p", { class: "nothing", text: this.state ? `No job is ${this.state}${this.before ? " that is older than these" : ""}.` : "There are no older jobs." });
    return h("div", { class: "card empty" }, h("h3", { text: "No jobs yet" }), h("p", { class: "muted", text: "Drop a file of rows, say which fields you want, try it on the first three, and let the rest run." }), h("p", null, h("a", { class: "primary", href: "#/new", text: "New job" })));
  }
}

// A job's line; what changes is changed in place, so that focus and selection stay.
class Row {
  constructor(job) {
    const cell = (label, ...content) => h("td", { "data-label": label, class: label === "Job" ? "name" : ["Failed", "Cost"].includes(label) ? "num" : null }, h("div", { class: "cell" }, content));
    const text = (kind = "") => h("span", { class: kind });
    this.link = h("a", { class: "job-name", href: "#/job/" + encodeURIComponent(job.id) });
    Object.assign(this, { about: text("muted small"), state: h("span"), bar: progressBar("Rows that have ended"), rows: text("small number-text"), failed: text("number-text"), cost: text("number-text"), model: text("model"), made: h("time", { datetime: job.created }), took: text("muted small") });
    this.element = h("tr", null, cell("Job", h("bdi", null, this.link), this.about), cell("State", this.state), cell("Rows", this.bar, this.rows), cell("Failed", this.failed), cell("Cost", this.cost), cell("Model", h("bdi", null, this.model)), cell("Made", this.made, this.took));
  }

  update(job) {
    write(this.made, age(job.created));
    write(this.took, job.started ? (job.ended ? "took " : "runs for ") + inWords(between(job.started, job.ended)) : "");
    if (this.version === job.version) return;
    this.version = job.version;
    const bad = badRows(job);
    put(this.link, shown(nameOf(job).slice(0, 300)));
    put(this.about, shown([job.owner && "by " + job.owner, String(job.schema || "")].filter(Boolean).join(" · ").slice(0, 160)));
    put(this.state, badge(job.state));
    this.bar.update(job);
    write(this.rows, job.rows.settled < job.rows.total ? `${count(job.rows.settled)} of ${count(job.rows.total)}` : count(job.rows.total));
    write(this.failed, bad ? count(bad) : "–");
    this.failed.className = "number-text" + (bad ? " wrong-text" : " muted");
    write(this.cost, dollars(amount(job.cost)));
    put(this.model, shown(String(job.model || "").slice(0, 120)));
  }
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
