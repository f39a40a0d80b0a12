// A schema tried on a few rows: fields appear as they are complete, then the whole, then what it cost.

import { Problem, ask } from "./api.js";
import { asText, dollars, duration, h, plainText, plural, short, shown } from "./dom.js";
import { amount, problemBox, put, say } from "./parts.js";
import { cutValue } from "./row.js";
import { eventsOf } from "./streams.js";

const TEXT = 280; // characters of a row that are shown above its fields

// Ask for `rows`, [{text, data}], and draw what comes into `place`; a promise of {usage, model}, null where it came to nothing.
export async function tryRows(place, request, rows, signal) {
  const cards = rows.map((row, at) => new Card(row, at));
  const total = h("p", { class: "muted number-text", role: "status" });
  put(place, h("div", { class: "cards tried" }, cards.map((card) => card.element)), total);
  const body = JSON.stringify(request).slice(0, -1) + `,"rows":[${rows.map((row) => row.text).join(",")}]}`;
  try {
    const headers = { "Content-Type": "application/json", Accept: "text/event-stream" };
    const response = await ask("v1/extract", { method: "POST", headers, body, signal });
    const usage = await follow(eventsOf(response.body), cards);
    if (usage) total.textContent = said(usage, rows.length);
    say("The rows are tried");
    return usage;
  } catch (error) {
    for (const card of cards) card.end();
    if (signal.aborted) total.textContent = "Stopped.";
    else if (cards.every((card) => card.isUntouched)) put(place, problemBox(error.title ? error : broken()));
    else place.append(problemBox(error.title ? error : broken()));
    if (!signal.aborted && !error.title && !(error instanceof TypeError)) reportError(error);
    return null;
  }
}

const broken = () => new Problem(0, { title: "The answer broke off", detail: "The connection ended before the rows did.", hint: "try again" });

async function follow(events, cards) {
  let usage = null;
  for await (const { event, data } of events) {
    const said = JSON.parse(data), card = cards[said.row];
    if (event === "field" && card) card.field(said.path, said.value);
    else if (event === "restart" && card) card.restart(said);
    else if (event === "object" && card) card.whole(said);
    else if (event === "usage") usage = said;
    else if (event === "error") throw new Problem(said.status, said, 0);
    else if (event === "done") return usage;
  }
  throw broken();
}

function said(usage, rows) {
  const cost = amount(usage.cost);
  return `${short(usage.input_tokens)} tokens in, ${short(usage.output_tokens)} out; ` + (cost === null ? "the price of the model is not known" : `${dollars(cost)} for ${plural(rows, "row")}`);
}

class Card {
  constructor({ data }, at) {
    const longest = Object.entries(data).reduce((best, [name, value]) => (name !== "gold" && typeof value === "string" && value.length > best.length ? value : best), "");
    this.fields = new Map();
    this.state = h("span", { class: "state one", text: "asking …" });
    this.note = h("p", { class: "muted small", hidden: true });
    this.list = h("dl", { class: "tried-fields" });
    this.about = h("p", { class: "about muted small number-text" });
    this.element = h("article", { class: "card", "aria-label": "Row " + (at + 1) }, h("header", { class: "between" }, h("h3", { text: "Row " + (at + 1) }), this.state),
      h("blockquote", { dir: "auto" }, shown((longest || asText(data)).slice(0, TEXT)), longest.length > TEXT && " …"), this.note, this.list, this.about);
  }

  field(path, value) {
    if (!this.fields.has(path)) {
      const place = h("dd");
      this.fields.set(path, place);
      this.list.append(h("div", { class: "arriving" }, h("dt", null, h("bdi", null, shown(path))), place));
    }
    put(this.fields.get(path), cutValue(value));
  }

  get isUntouched() {
    return !this.fields.size && this.note.hidden && !this.about.textContent && !this.list.childElementCount;
  }

  restart({ reason, message }) {
    this.fields.clear();
    this.list.replaceChildren();
    this.note.hidden = false;
    put(this.note, shown(`asked again: ${message || reason}`.slice(0, 600)));
  }

  whole(result) {
    const failed = result.error !== null && result.error !== undefined;
    if (failed) {
      this.end("failed", "bad");
      this.list.replaceChildren(h("div", { class: "error-box" }, h("p", null, h("b", null, shown(String(result.error.type)))), h("p", null, h("bdi", null, shown(String(result.error.message).slice(0, 2000))))));
    } else {
      this.end("done", "good");
      for (const [name, value] of Object.entries(result.value || {})) this.field(name, value);
      this.quote(result.evidence || {});
    }
    const cost = result.usage && amount(result.usage.cost);
    this.about.textContent = [typeof result.seconds === "number" && duration(result.seconds), result.attempts > 1 && plural(result.attempts, "call"), result.source && result.source !== "model" && "from: " + plainSource(result.source), cost && dollars(cost)].filter(Boolean).join(" · ");
  }

  quote(evidence) {
    for (const [path, quote] of Object.entries(evidence)) {
      const place = this.fields.get(path) || this.fields.get(path.split(".")[0]); // of a list, each of its elements has one
      if (place) place.append(quote ? h("q", { class: "muted small", dir: "auto" }, shown(String(quote.quote).slice(0, 300))) : h("span", { class: "badge warn", text: "quote not found" }));
    }
  }

  end(text = "stopped", kind = "plain") {
    if (this.state.classList.contains("one")) put(this.state, text);
    this.state.className = "state " + (this.state.textContent === text ? kind : "plain");
  }
}

const plainSource = (source) => plainText(String(source).slice(0, 40));
