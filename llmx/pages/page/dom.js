// Elements, and text of rows: it is put on the page as text, never as markup, and what would reorder or hide it is shown.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (name === "text") element.textContent = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(4).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
const svg = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);
const byId = (id) => document.getElementById(id);

// Controls and DEL, zero-width and bidirectional characters (CVE-2021-42574), line and paragraph separators, lone surrogates.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

const codeOf = (character) => "U+" + character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");

// The text as nodes; a zero-width joiner within an emoji or a word of Persian stays what it is.
function shown(text) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(UNSEEN)) {
    if (joins(text, match)) continue;
    if (match.index > from) nodes.push(text.slice(from, match.index));
    nodes.push(h("span", { class: "unseen-char", text: codeOf(match[0]) }));
    from = match.index + match[0].length;
  }
  if (from < text.length) nodes.push(text.slice(from));
  return nodes;
}

function joins(text, match) {
  const at = match.index;
  return (match[0] === "\u200d" || match[0] === "\u200c") && at > 0 && at + 1 < text.length && text.charCodeAt(at - 1) > 0x7f && text.charCodeAt(at + 1) > 0x7f;
}

// For where only a string will do: options, labels.
const plainText = (text) => text.replace(UNSEEN, (found) => (found === "\u200d" || found === "\u200c" ? found : codeOf(found)));

const COUNT = new Intl.NumberFormat("en");
const count = (number) => COUNT.format(number);
const plural = (number, one, many) => count(number) + " " + (number === 1 ? one : many || one + "s");

function short(number) {
  if (number === null || number === undefined) return "–";
  const size = Math.abs(number);
  if (size >= 1e15 || (size > 0 && size < 1e-4)) return number.toExponential(2);
  if (size >= 1e9) return trimmed(number / 1e9) + "G";
  if (size >= 1e6) return trimmed(number / 1e6) + "M";
  if (size >= 1e5) return trimmed(number / 1e3) + "k";
  return Number.isInteger(number) ? count(number) : trimmed(number);
}

const trimmed = (number) => COUNT.format(Number(number.toPrecision(3)));

function percent(share) {
  if (!Number.isFinite(share)) return "–";
  const hundred = share * 100;
  if (hundred > 0 && hundred < 0.1) return "<0.1\u00a0%";
  if (hundred < 100 && hundred > 99.9) return ">99.9\u00a0%";
  return (Number.isInteger(hundred) ? hundred : hundred.toFixed(1)) + "\u00a0%";
}

function dollars(cost) {
  if (cost === null || cost === undefined) return "unknown";
  if (cost === 0) return "$0";
  if (cost < 0.0001) return "<$0.0001";
  return cost < 1 ? "$" + cost.toFixed(4) : "$" + cost.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.0995) return Math.round(seconds * 1000) + "\u00a0ms";
  if (seconds < 60) return (seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)) + "\u00a0s";
  const minutes = Math.floor(Math.round(seconds) / 60);
  const pad = (number) => String(number).padStart(2, "0");
  return minutes < 60 ? minutes + "m " + pad(Math.round(seconds) % 60) + "s" : Math.floor(minutes / 60) + "h " + pad(minutes % 60) + "m";
}

function moment(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : time.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value));

// A value as an element: what kind it is can be seen without reading it.
function valueNode(value) {
  if (value === null || value === undefined) return h("span", { class: "null", text: value === null ? "null" : "missing" });
  if (value === "") return h("span", { class: "null", text: "empty" });
  if (typeof value === "string") return h("bdi", { class: "text" }, shown(value));
  if (typeof value === "number") return h("span", { class: "number", text: String(value) });
  if (typeof value === "boolean") return h("span", { class: "bool", text: String(value) });
  if (!Array.isArray(value)) return h("code", { class: "json" }, shown(JSON.stringify(value, null, 1)));
  if (!value.length) return h("span", { class: "null", text: "empty list" });
  return h("span", { class: "elements" }, value.map((inner) => h("span", { class: "element" }, valueNode(inner))));
}

// A table in a place of its own that can be scrolled by keyboard where it is wide.
function table(caption, head, rows, numeric) {
  const cell = (tag, content, at) => h(tag, { class: numeric.includes(at) ? "num" : null, scope: tag === "th" ? "col" : null }, content);
  const body = rows.map((row) => h("tr", null, row.map((content, at) => cell("td", content, at))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", null, h("caption", { class: "unseen", text: caption }), h("thead", null, h("tr", null, head.map((name, at) => cell("th", name, at)))), h("tbody", null, body)));
}

const fold = (id, title, ...content) => h("details", { "data-fold": id }, h("summary", null, title), content);

const section = (id, title, ...content) => h("section", { id, "aria-labelledby": id + "-title", tabindex: "-1" }, h("h2", { id: id + "-title", text: title }), content);
