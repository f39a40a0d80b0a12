// What is wanted of each row: a schema, a model, and how they are asked; read into the request of the service.

import { askJson } from "./api.js";
import { fold, h, plainText, shown } from "./dom.js";
import { namesIn } from "./columns.js";
import { put } from "./parts.js";

const WAYS = [["named", "A ready-made schema"], ["inline", "Write fields"], ["json", "Paste a JSON Schema"]];

const INLINE = "label positive|negative|neutral, stars int?, topics list[str]";

export class Wanted {
  // `changed` is called with every change.
  constructor(changed) {
    this.changed = changed;
    this.schemas = [];
    this.way = "inline";
    this.jobOnly = ["name", "key", "prefix", "max_failures", "max_cost", "meta"];
    this.named = h("select", { id: "schema-named" });
    this.inline = h("input", { id: "schema-inline", spellcheck: "false", autocomplete: "off", autocapitalize: "off", placeholder: INLINE, "aria-describedby": "inline-help" });
    this.json = h("textarea", { id: "schema-json", rows: "8", spellcheck: "false", autocomplete: "off", placeholder: '{"type": "object", "properties": {"label": {"enum": ["good", "bad"]}}, "required": ["label"]}' });
    this.model = h("select", { id: "model" });
    this.system = h("textarea", { id: "system", rows: "3", maxlength: "20000", placeholder: "You are reading reviews of a shop …" });
    this.evidence = h("input", { type: "checkbox", id: "evidence" });
    this.meta = h("input", { type: "checkbox", id: "meta" });
    this.name = h("input", { id: "name", maxlength: "200", autocomplete: "off" });
    this.key = h("select", { id: "key-column" }, h("option", { value: "", text: "none: by content" }));
    this.prefix = h("input", { id: "prefix", autocomplete: "off", autocapitalize: "off", spellcheck: "false", placeholder: "none" });
    this.cost = h("input", { id: "max-cost", inputmode: "decimal", autocomplete: "off", placeholder: "no limit" });
    this.failures = h("input", { id: "max-failures", autocomplete: "off", placeholder: "0" });
    this.columns = h("fieldset", { class: "checks", hidden: true }, h("legend", { text: "Columns that the model sees" }));
    this.panes = { named: h("div", null, label("schema-named", "Schema"), this.named, (this.about = h("div"))), inline: h("div", null, label("schema-inline", "Fields"), this.inline, h("p", { id: "inline-help", class: "muted small" }, "Names with types, parted by commas: str, int, float, bool, date, list[…], a|b|c for choices; ? for what may be absent.")), json: h("div", null, label("schema-json", "JSON Schema"), this.json) };
    this.element = h("div", { class: "wanted" }, this.ways(), Object.values(this.panes), h("div", null, label("model", "Model"), this.model), this.columns,
      h("div", { class: "checks" }, check(this.evidence, "Quote the words that each value rests on"), check(this.meta, "Add model, attempts and cost to each row")),
      (this.more = fold("more", "More: instructions, name, limits", h("div", { class: "grid-form" }, h("div", { class: "whole" }, label("system", "What the model should know"), this.system), h("div", null, label("name", "Name of the job"), this.name), h("div", null, label("key-column", "Column that identifies a row"), this.key), h("div", null, label("prefix", "Before the names of the fields"), this.prefix), h("div", null, label("max-cost", "At most, in dollars"), this.cost), h("div", null, label("max-failures", "Rows that may fail (5, 5%)"), this.failures)))));
    this.key.addEventListener("change", () => this.keyed());
    this.element.addEventListener("input", () => this.changed());
    this.element.addEventListener("change", () => this.changed());
    this.named.addEventListener("change", () => this.describe());
    this.choose(this.way);
  }

  ways() {
    this.radios = WAYS.map(([way, title]) => h("input", { type: "radio", name: "way", id: "way-" + way, value: way, on: { change: () => this.choose(way) } }));
    return h("fieldset", { class: "ways" }, h("legend", { class: "unseen", text: "How the fields are given" }), WAYS.map(([way, title], at) => h("span", null, this.radios[at], label("way-" + way, title))));
  }

  choose(way) {
    this.way = way;
    for (const radio of this.radios) radio.checked = radio.value === way;
    for (const [name, pane] of Object.entries(this.panes)) pane.hidden = name !== way;
  }

  // What the service has on offer; asked once.
  async load(signal) {
    if (this.isLoaded) return;
    const [{ schemas }, { models }] = await Promise.all([askJson("v1/schemas", { signal }), askJson("v1/models", { signal })]);
    this.schemas = schemas;
    put(this.named, schemas.map(({ name }) => h("option", { value: name, text: plainText(name) })));
    const price = (one) => (isKnown(one.input_price) && isKnown(one.output_price) ? plainText(`  ·  $${one.input_price} in, $${one.output_price} out, per million tokens`.slice(0, 200)) : "");
    put(this.model, models.map((one) => h("option", { value: one.name, selected: one.default, text: plainText(one.name) + price(one) })));
    this.isLoaded = true;
    if (!schemas.length) this.radios[0].disabled = true;
    else this.describe();
    this.changed();
  }

  describe() {
    const found = this.schemas.find((one) => one.name === this.named.value);
    if (!found) return;
    const fields = Object.keys((found.json_schema || {}).properties || {});
    put(this.about, found.description && h("p", { class: "muted" }, shown(found.description.slice(0, 600))), fields.length > 0 && h("p", { class: "elements" }, fields.slice(0, 60).map((name) => h("span", { class: "element" }, shown(name.slice(0, 80))))), fold("json-schema", "Its JSON Schema", h("pre", { tabindex: "0" }, shown(JSON.stringify(found.json_schema, null, 2).slice(0, 50_000)))));
  }

  // The columns of the file, all of which the model sees but the key, gold and what begins with "_".
  offerColumns(names) {
    this.names = names;
    this.boxes = names.slice(0, 200).map((name, at) => h("input", { type: "checkbox", id: "column-" + at, checked: isSeen(name) }));
    this.columns.hidden = names.length < 2;
    put(this.columns, this.columns.firstChild, this.boxes.map((box, at) => check(box, shown(names[at].slice(0, 80)))));
    put(this.key, h("option", { value: "", text: "none: by content" }), names.slice(0, 200).map((name) => h("option", { value: name, text: plainText(name) })));
  }

  // The columns that were chosen, null where they are those that the model sees anyway.
  input() {
    const names = (this.names || []).slice(0, 200), chosen = names.filter((_, at) => this.boxes[at].checked);
    const usual = names.filter((name) => isSeen(name) && name !== this.key.value);
    return chosen.length === usual.length && chosen.every((name, at) => name === usual[at]) ? null : chosen;
  }

  // The key says which row it is, and nothing about it: the model does not see it unless it is chosen again.
  keyed() {
    (this.names || []).slice(0, 200).forEach((name, at) => {
      if (name === this.key.value) this.boxes[at].checked = false;
      else if (name === this.lastKey) this.boxes[at].checked = isSeen(name);
    });
    this.lastKey = this.key.value;
  }

  // A column that a field would have the name of, undefined where there is none. Of a try the row is no part.
  taken(schema) {
    const named = this.schemas.find((one) => one.name === schema);
    const fields = namesIn(named ? named.json_schema : schema) || [];
    return fields.find((name) => (this.names || []).includes(this.prefix.value.trim() + name));
  }

  // {request}, or {problem: [what is missing, where]}.
  read(isJob = true) {
    const schema = this.schema();
    if (schema.problem) return schema;
    const taken = isJob ? this.taken(schema.value) : undefined;
    if (taken !== undefined) return { problem: [`The file has a column ${JSON.stringify(taken)} already. Put something before the names of the fields, such as llm_`, this.prefix] };
    const cost = this.cost.value.trim().replace(/^\$/, "");
    if (cost && !(Number(cost) > 0)) return { problem: ["What it may cost is a number of dollars, such as 2.50.", this.cost] };
    const failures = this.failures.value.replace(/\s/g, "");
    if (failures && !/^\d+(\.\d+)?%?$/.test(failures)) return { problem: ["Rows that may fail are a number or a share, such as 5 or 5%.", this.failures] };
    const input = this.input();
    if (input && !input.length) return { problem: ["The model has to see at least one column.", this.boxes[0]] };
    const said = { schema: schema.value, model: this.model.value, input, system: this.system.value.trim(), evidence: this.evidence.checked, name: this.name.value.trim(), key: this.key.value, prefix: this.prefix.value.trim(), max_cost: cost && Number(cost), max_failures: failures, meta: this.meta.checked };
    return { request: Object.fromEntries(Object.entries(said).filter((pair) => pair[1])) };
  }

  schema() {
    if (this.way === "named") return this.named.value ? { value: this.named.value } : { problem: ["Choose a schema.", this.named] };
    if (this.way === "inline") return this.inline.value.trim() ? { value: this.inline.value.trim() } : { problem: ["Say which fields you want, such as: " + INLINE, this.inline] };
    try {
      const value = JSON.parse(this.json.value);
      if (value !== null && typeof value === "object" && !Array.isArray(value)) return { value };
      return { problem: ["A JSON Schema is an object: {…}.", this.json] };
    } catch (error) {
      return { problem: [this.json.value.trim() ? "The JSON Schema is not JSON: " + error.message : "Paste a JSON Schema.", this.json] };
    }
  }
}

const isKnown = (price) => price !== null && price !== undefined;

const isSeen = (name) => !name.startsWith("_") && name !== "gold";

const label = (target, title) => h("label", { for: target, text: title });

const check = (box, title) => h("span", { class: "check" }, box, h("label", { for: box.id }, title));
