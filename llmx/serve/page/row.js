// One row: what failed in it, its texts with the quotes marked, and its fields.

import { meter } from "./charts.js";
import { asText, dollars, fold, h, plural, shown, valueNode } from "./dom.js";
import { button } from "./parts.js";
import { about, leavesOf, marked, quotesOf } from "./quotes.js";

const CUT = 20_000; // characters of a text that are shown until more is asked for
const LONG = 60; // characters from which on a text is shown by itself
const UNSURE = 0.7;

// What there is to say about a row; `fields` are the columns that the model gave, null where that is not known.
export function rowParts(row, fields, pane) {
  const { _evidence: evidence, _confidence: confidence, _llmx: meta, _error: error, ...columns } = row;
  const data = { r: Object.setPrototypeOf(columns, null), v: objectOr(evidence), c: objectOr(confidence) };
  const leaves = leavesOf(data), marks = quotesOf(data, leaves);
  const isField = (path) => Boolean(fields && (fields.has(path) || fields.has(path.split(".")[0])));
  const isText = (name) => typeof columns[name] === "string" && !isField(name) && (marks.byColumn.has(name) || columns[name].length > LONG);
  const rest = [...leaves].filter(([path]) => !isText(path));
  const block = (title, some) => some.length > 0 && h("div", { class: "block" }, h("h4", { text: title }), valueTable(some, data, marks, pane));
  return [
    error && errorBox(objectOr(error) || { message: error }),
    Object.keys(columns).filter(isText).map((name) => source(name, columns[name], marks.byColumn.get(name) || [])),
    h("div", null, block(fields ? "Fields" : "Columns", fields ? rest.filter(([path]) => isField(path)) : rest), fields && block("Other columns", rest.filter(([path]) => !isField(path)))),
    objectOr(meta) && h("dl", { class: "meta" }, Object.entries(meta).filter((pair) => pair[1] !== null).map(([name, value]) => h("div", null, h("dt", null, shown(name)), h("dd", null, name === "cost" && !Number.isNaN(Number(value)) ? dollars(Number(value)) : shown(asText(value).slice(0, 400)))))),
    fold("raw", "The row as JSON", long(JSON.stringify(row, null, 2))),
  ].flat().filter(Boolean);
}

const objectOr = (value) => (value !== null && typeof value === "object" && !Array.isArray(value) ? value : null);

// Text that may be without end: its beginning, and a button for all of it.
function long(text) {
  const place = h("pre", { class: "raw", tabindex: "0" }, shown(text.slice(0, CUT)));
  if (text.length <= CUT) return place;
  const own = button(`Show all ${plural(text.length, "character")}`, () => {
    place.replaceChildren(...shown(text));
    own.remove();
  });
  return h("div", null, place, own);
}

function errorBox(error) {
  const said = [error.line !== null && error.line !== undefined && "line " + error.line, error.attempts && plural(Number(error.attempts), "call"), error.cost && dollars(Number(error.cost))].filter(Boolean);
  return h("div", { class: "error-box" }, h("p", null, h("b", null, shown(asText(error.type || "failed").slice(0, 200))), said.length > 0 && h("span", { class: "muted" }, " · ", shown(said.join(" · ")))),
    h("p", null, h("bdi", null, shown(asText(error.message || "").slice(0, CUT)))),
    error.raw && fold("last-answer", "The last answer, or the line", long(asText(error.raw))));
}

function source(name, text, quotes) {
  const place = h("div", { class: "source-text", dir: "auto", tabindex: "0", role: "region", "aria-label": "Text" });
  const end = Math.min(text.length, Math.max(CUT, ...quotes.map((quote) => quote.to)));
  place.append(...marked(text.slice(0, end), quotes.filter((quote) => quote.to <= end)));
  const more = end < text.length && button(`Show all ${plural(text.length, "character")}`, () => {
    place.replaceChildren(...marked(text, quotes));
    more.remove();
  });
  return h("div", { class: "source" }, h("h4", null, h("bdi", null, shown(name))), place, more);
}

function valueTable(leaves, data, marks, pane) {
  const has = (said) => said && leaves.some(([path]) => about(said, path).length > 0);
  const isSure = has(data.c), isQuoted = has(data.v);
  const head = ["field", "value", isSure && "confidence", isQuoted && "evidence"].filter(Boolean);
  const body = leaves.map(([path, value]) => {
    const number = marks.numbers.get(path);
    const cells = [cell("field", h("span", { class: "path" }, number !== undefined && h("span", { class: "swatch q" + (number % 6), "aria-hidden": "true" }), h("bdi", null, shown(path.slice(0, 400))))), cell("value", cutValue(value))];
    if (isSure) cells.push(confidenceCell(data.c, path));
    if (isQuoted) cells.push(evidenceCell(data.v, path, pane));
    return h("tr", { on: { mouseenter: () => light(pane, number), mouseleave: () => light(pane) } }, cells);
  });
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Fields of the row" }, h("table", { class: "stacking" }, h("thead", null, h("tr", null, head.map((name) => h("th", { scope: "col", text: name })))), h("tbody", null, body)));
}

const cell = (label, ...content) => h("td", { "data-label": label, class: label === "field" ? "name" : null }, h("div", { class: "cell" }, content));
const emptyCell = (label) => h("td", { "data-label": label, class: "empty-cell" }, h("span", { class: "muted", text: "–" }));

export function cutValue(value) {
  const text = typeof value === "string" ? value : value !== null && typeof value === "object" ? JSON.stringify(value) : "";
  return text.length > CUT ? long(text) : valueNode(value);
}

function confidenceCell(confidence, path) {
  const known = about(confidence, path).filter((pair) => typeof pair[1] === "number");
  if (!known.length) return emptyCell("confidence");
  const least = Math.min(...known.map((pair) => pair[1]));
  return cell("confidence", h("span", { class: "confidence" }, meter(least, least < UNSURE ? "warn" : "good"), h("span", { class: "num", text: Math.round(least * 100) + " %" })));
}

function evidenceCell(evidence, path, pane) {
  const quotes = about(evidence, path);
  if (!quotes.length) return emptyCell("evidence");
  const one = ([name, quote]) => {
    if (!objectOr(quote)) return h("span", { class: "badge warn", text: "quote not found" });
    const way = (quote.match === "normalized" || quote.match === "fuzzy") && h("span", { class: "muted", text: " " + quote.match });
    return h("div", null, h("button", { type: "button", class: "quote", title: "Show it in the text", on: { click: () => pointAt(pane, name) } }, h("q", { dir: "auto" }, shown(String(quote.quote).slice(0, 400)))), way);
  };
  return cell("evidence", h("div", { class: "quotes" }, quotes.slice(0, 40).map(one)));
}

function pointAt(pane, path) {
  const marks = [...pane.querySelectorAll("mark")], found = marks.filter((mark) => mark.paths.includes(path));
  for (const mark of marks) mark.classList.toggle("lit", found.includes(mark));
  if (found.length) found[0].scrollIntoView({ block: "nearest" });
}

function light(pane, number) {
  for (const mark of pane.querySelectorAll("mark")) mark.classList.toggle("lit", number !== undefined && mark.dataset.fields.split(" ").includes(String(number)));
}
