// One job: how far it is, how fast, what it cost and what failed, as it happens; and what can be done with it.

import { ask, askJson, jobPath } from "./api.js";
import { choices } from "./charts.js";
import { commandsOf, fileName } from "./curl.js";
import { asText, count, dollars, fold, h, moment, short, shown, valueNode } from "./dom.js";
import { Pace, paceChart } from "./pace.js";
import { amount, badRows, badge, between, button, confirmed, copied, hasEnded, heading, inWords, nameOf, problemBox, progressBar, put, save, say, shareOf, tile } from "./parts.js";
import { followJob } from "./streams.js";

export async function jobView(main, { id }, signal) {
  document.title = "Job · llmx";
  const view = new View(id, signal);
  main.append(view.element);
  await view.begin();
}

class View {
  constructor(id, signal) {
    this.id = id;
    this.signal = signal;
    this.pace = new Pace();
    this.job = null;
    this.title = heading("…");
    this.state = h("span", { role: "status" });
    this.actions = h("div", { class: "actions" });
    this.told = h("div", { class: "told" });
    this.bar = progressBar("Rows that have ended");
    this.bar.classList.add("tall-bar");
    this.done = h("b", { class: "big number-text" });
    this.rest = h("span", { class: "muted number-text" });
    this.shards = h("p", { class: "muted small number-text" });
    this.tiles = { rate: tile("Rows a second"), left: tile("Time left"), failed: tile("Failed"), cost: tile("Cost"), tokens: tile("Tokens"), calls: tile("Calls") };
    this.chart = h("div");
    this.errors = h("section", { class: "card", "aria-label": "Errors by kind", hidden: true });
    this.facts = h("section", { class: "card facts", "aria-label": "About it" });
    this.files = h("div", { class: "actions" });
    this.body = h("div", { hidden: true },
      h("section", { class: "card", "aria-label": "Progress" }, h("div", { class: "progress-line" }, h("span", null, this.done, " ", this.rest)), this.bar, this.shards),
      h("div", { class: "tiles" }, Object.values(this.tiles)), this.chart,
      h("section", { class: "card", "aria-labelledby": "rows-title" }, h("h3", { id: "rows-title", text: "Rows" }), this.files), this.errors, this.facts);
    this.element = h("div", { class: "job", "aria-busy": "true" },
      h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: "#/jobs", text: "Jobs" })),
      h("div", { class: "view-head" }, this.title, this.state, this.actions), this.told, this.body);
  }

  async begin() {
    try {
      this.draw(await askJson(jobPath(this.id), { signal: this.signal }));
    } catch (error) {
      if (error.status === 404) put(this.title, "There is no such job");
      throw error;
    } finally {
      this.element.setAttribute("aria-busy", "false");
    }
    this.body.hidden = false;
    this.tick();
    await this.follow();
  }

  async follow() {
    if (hasEnded(this.job)) return;
    await followJob(this.id, (job) => this.draw(job), this.signal);
  }

  // Times go on between two snapshots.
  tick() {
    const timer = setInterval(() => this.job && !hasEnded(this.job) && this.drawTimes(), 1000);
    this.signal.addEventListener("abort", () => clearInterval(timer));
  }

  draw(job) {
    if (this.signal.aborted || (this.job && job.version < this.job.version)) return;
    const before = this.job;
    this.job = job;
    this.pace.add(job);
    this.drawHead(before);
    this.drawFigures();
    this.drawTimes();
    if (!before || before.state !== job.state || before.rows.settled === 0) this.drawFiles();
    this.drawErrors(before);
    this.drawFacts(before);
    this.announce(before);
  }

  drawHead(before) {
    const { job } = this;
    document.title = nameOf(job).slice(0, 80) + (hasEnded(job) ? "" : " · " + shareOf(job)) + " · llmx";
    if (before && before.state === job.state && before.reason === job.reason) return;
    put(this.title, h("bdi", null, shown(nameOf(job))));
    put(this.state, badge(job.state));
    const isFocused = this.actions.contains(document.activeElement);
    put(this.actions, this.possible());
    if (isFocused) (this.actions.querySelector("button") || this.title).focus();
    put(this.told, job.reason && h("p", { class: "note" }, h("bdi", null, shown(job.reason))));
  }

  possible() {
    const { job } = this;
    if (!hasEnded(job)) return [button("Cancel", () => this.cancel(), "quiet danger")];
    return [job.state === "stopped" && button("Resume", () => this.act("/resume", "POST"), "primary"), button("Forget", () => this.forget(), "quiet danger")];
  }

  drawFigures() {
    const { job } = this, bad = badRows(job), cost = amount(job.cost);
    this.bar.update(job);
    this.done.textContent = shareOf(job);
    this.rest.textContent = `${count(job.rows.settled)} of ${count(job.rows.total)} rows`;
    this.shards.textContent = shardsOf(job);
    this.tiles.failed.update(count(bad), bad && job.rows.settled ? `${((bad / job.rows.settled) * 100).toFixed(1)} % of ${count(job.rows.settled)}` : job.rows.unreadable || hasEnded(job) ? "" : "none so far", bad ? "bad" : "");
    if (job.rows.unreadable) this.tiles.failed.update(count(bad), `${count(job.rows.unreadable)} of them could not be read`, "bad");
    this.tiles.cost.update(dollars(cost), expected(job, cost), cost === null ? "words" : "");
    this.tiles.tokens.update(short(job.tokens.input + job.tokens.output), `${short(job.tokens.input)} in, ${short(job.tokens.output)} out`);
    this.tiles.calls.update(short(job.calls), job.rows.cached ? `${count(job.rows.cached)} rows came from the cache` : "");
  }

  drawTimes() {
    const { job } = this;
    const took = between(job.started, job.ended);
    const rate = hasEnded(job) ? (took ? job.rows.settled / took : null) : this.pace.rate();
    this.tiles.rate.update(rate === null ? "–" : rate >= 10 ? count(Math.round(rate)) : rate.toFixed(1), hasEnded(job) ? "on average" : this.pace.average(job));
    this.tiles.left.firstChild.textContent = hasEnded(job) ? "Took" : "Time left";
    const left = rate > 0 ? (job.rows.total - job.rows.settled) / rate : null;
    this.tiles.left.update(hasEnded(job) ? inWords(took) : left === null ? "–" : "≈ " + inWords(left), hasEnded(job) ? "" : job.started ? "runs for " + inWords(took) : "has not begun");
    if (this.pace.hasChart()) put(this.chart, h("div", { class: "card chart-card" }, paceChart(this.pace)));
  }

  drawFiles() {
    const { job } = this, at = "#/job/" + encodeURIComponent(job.id);
    const name = fileName(job);
    const loads = (title, path, file) => button(title, (event) => this.download(event.target, path, file));
    put(this.files,
      h("a", { class: "primary", href: at + "/results", text: hasEnded(job) ? "Browse the results" : "Browse the results so far" }),
      h("a", { class: "quiet", href: at + "/errors", text: "Browse the errors" }),
      loads("Results as JSON Lines", "/results", name + ".jsonl"), loads("Results as CSV", "/results?format=csv", name + ".csv"), loads("Errors as JSON Lines", "/errors", name + ".errors.jsonl"));
  }

  drawErrors(before) {
    const { job } = this;
    const kinds = Object.entries(job.errors || {}).filter(([, number]) => number).sort((one, other) => other[1] - one[1]);
    this.errors.hidden = !kinds.length;
    if (!kinds.length || (before && JSON.stringify(before.errors) === JSON.stringify(job.errors))) return;
    const at = "#/job/" + encodeURIComponent(job.id) + "/errors";
    const act = (kind) => (location.hash = at + "?q=" + encodeURIComponent(kind));
    const focused = [...this.errors.querySelectorAll("button")].indexOf(document.activeElement);
    put(this.errors, h("h3", { text: "Errors by kind" }), choices(kinds.slice(0, 50), kinds.reduce((sum, kind) => sum + kind[1], 0), act));
    if (focused >= 0) this.errors.querySelectorAll("button")[focused]?.focus();
  }

  drawFacts(before) {
    const { job } = this;
    if (before && before.state === job.state) return;
    const fact = (title, ...value) => h("div", null, h("dt", null, shown(title)), h("dd", null, value));
    const time = (title, text) => text && fact(title, h("time", { datetime: text, title: text, text: moment(text) }));
    const options = Object.entries(job.options || {}).filter(([name, value]) => value !== null && !["schema", "model"].includes(name));
    const schema = (job.options || {}).schema;
    put(this.facts, h("h3", { text: "About it" }),
      h("dl", null, fact("Id", h("code", null, shown(job.id))), job.owner && fact("Key", h("bdi", null, shown(job.owner))), fact("Model", h("bdi", null, shown(String(job.model)))), fact("Schema", h("bdi", null, shown(asText(job.schema || "").slice(0, 2000)))), time("Made", job.created), time("Begun", job.started), time("Ended", job.ended), options.map(([name, value]) => fact(optionName(name), valueNode(typeof value === "string" ? value.slice(0, 4000) : value)))),
      schema && typeof schema === "object" && fold("schema", "The JSON Schema", h("pre", { tabindex: "0" }, shown(JSON.stringify(schema, null, 2).slice(0, 50_000)))),
      fold("curl", "The same from a shell", commandsOf(job).map(([title, text]) => h("div", { class: "command" }, h("h4", { text: title }), copied(text)))));
  }

  // Not every snapshot is told: a tenth of the rows, and what happens.
  announce(before) {
    const { job } = this;
    const tenth = (one) => Math.floor((10 * one.rows.settled) / Math.max(1, one.rows.total));
    if (before && before.state === job.state && tenth(before) === tenth(job)) return;
    if (before) say(`${job.state}: ${shareOf(job)}, ${count(badRows(job))} failed`);
  }

  async cancel() {
    if (await confirmed("Cancel this job?", "Rows that have ended stay, and what they cost is spent. A cancelled job cannot be resumed.", "Cancel the job")) await this.act("", "DELETE");
  }

  async forget() {
    if (!(await confirmed("Forget this job?", `Its ${count(this.job.rows.settled)} rows and all that is known of it are removed for good.`, "Forget the job"))) return;
    if (await this.act("?forget=true", "DELETE")) {
      say("The job is forgotten");
      location.hash = "#/jobs";
    }
  }

  // Ask for a change; the job as it is then is drawn, and followed where it runs.
  async act(path, method) {
    const wasEnded = hasEnded(this.job);
    try {
      const response = await ask(jobPath(this.id) + path, { method, signal: this.signal });
      if (response.status === 204) return true;
      this.draw(await response.json());
      if (wasEnded && !hasEnded(this.job)) this.follow().catch((error) => this.fail(error));
      return true;
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  fail(error) {
    if (this.signal.aborted) return;
    put(this.told, problemBox(error));
  }

  async download(own, path, name) {
    const title = own.textContent;
    own.disabled = true;
    try {
      const response = await ask(jobPath(this.id) + path, { signal: this.signal });
      save(await collected(response, (size) => (own.textContent = `${title}: ${(size / 1e6).toFixed(1)} MB`)), name);
      say(name + " is saved");
    } catch (error) {
      this.fail(error);
    }
    own.disabled = false;
    own.textContent = title;
  }
}

// A body as a blob, which browsers keep on disk where it is large.
async function collected(response, tell) {
  let size = 0;
  const counting = new TransformStream({
    transform(part, through) {
      size += part.byteLength;
      tell(size);
      through.enqueue(part);
    },
  });
  const type = response.headers.get("Content-Type") || "application/octet-stream";
  return new Response(response.body.pipeThrough(counting), { headers: { "Content-Type": type } }).blob();
}

const optionName = (name) => (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ").slice(0, 100);

function shardsOf({ shards, state }) {
  if (!shards || shards.total < 2) return "";
  const running = state === "running" && shards.running ? `, ${count(shards.running)} running` : "";
  return `${count(shards.done)} of ${count(shards.total)} shards done${running}`;
}

function expected(job, cost) {
  if (cost === null) return "a price is not known";
  const { settled, total } = job.rows;
  if (hasEnded(job) || !settled || !cost) return settled && cost ? dollars((cost / settled) * 1000) + " for 1,000 rows" : "";
  return "≈ " + dollars((cost / settled) * total) + " in all";
}
