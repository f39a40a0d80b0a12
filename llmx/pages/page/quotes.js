// What is known of one row's values: the fields in it, and the quotes that they rest on, marked in its text.

const MOST_LEAVES = 400;

// The value at a path into one row, `items.0.name`, undefined where there is none.
function valueAt(row, path) {
  if (row && typeof row === "object" && Object.hasOwn(row, path)) return row[path];
  let value = row;
  for (const part of path.split(".")) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, part)) return undefined;
    value = value[part];
  }
  return value;
}

// What a row's columns come to, [path, value]: of objects their fields; a list of plain values is one.
function leavesOf(data) {
  const leaves = new Map();
  const walk = (path, value) => {
    if (leaves.size >= MOST_LEAVES) return;
    const inner = value !== null && typeof value === "object" ? Object.entries(value) : [];
    const nested = inner.length && (!Array.isArray(value) || inner.some(([, one]) => one !== null && typeof one === "object"));
    if (nested) inner.forEach(([name, one]) => walk(path + "." + name, one));
    else leaves.set(path, value);
  };
  for (const [column, value] of Object.entries(data.r)) walk(column, value);
  for (const [column, value] of Object.entries(data.o || {})) walkMissing(leaves, column, value);
  for (const path of Object.keys(data.g || {})) if (!leaves.has(path)) leaves.set(path, valueAt(data.r, path));
  return leaves;
}

function walkMissing(leaves, path, value) {
  if ([...leaves.keys()].some((known) => known === path || known.startsWith(path + "."))) return;
  leaves.set(path, undefined);
}

// The quotes of a row by the column that they are in, each with the number of its field, and its place in UTF-16.
function quotesOf(data, leaves) {
  const byColumn = new Map(), numbers = new Map();
  for (const [path, quote] of Object.entries(data.v || {})) {
    if (!quote || typeof quote !== "object") continue;
    const text = data.r[quote.column];
    const start = Number(quote.start), end = Number(quote.end);
    if (typeof text !== "string" || !(start >= 0 && end > start)) continue;
    const field = leafOf(path, leaves);
    if (!numbers.has(field)) numbers.set(field, numbers.size);
    if (!byColumn.has(quote.column)) byColumn.set(quote.column, []);
    byColumn.get(quote.column).push({ path, field, number: numbers.get(field), start, end });
  }
  for (const [column, quotes] of byColumn) toUtf16(data.r[column], quotes);
  return { byColumn, numbers };
}

function leafOf(path, leaves) {
  const found = leaves.has(path) ? path : path.replace(/\.\d+$/, "");
  return leaves.has(found) ? found : path;
}

// Offsets count code points, as Python does; a string here is made of UTF-16 units.
function toUtf16(text, quotes) {
  const wanted = [...new Set(quotes.flatMap((quote) => [quote.start, quote.end]))].sort((one, other) => one - other);
  const places = new Map();
  let points = 0, at = 0;
  for (const point of wanted) {
    while (points < point && at < text.length) {
      at += text.codePointAt(at) > 0xffff ? 2 : 1;
      points++;
    }
    places.set(point, at);
  }
  for (const quote of quotes) Object.assign(quote, { from: places.get(quote.start), to: places.get(quote.end) });
}

function marked(text, quotes) {
  const edges = [...new Set([0, text.length, ...quotes.flatMap((quote) => [quote.from, quote.to])])].sort((one, other) => one - other);
  const nodes = [];
  for (let at = 0; at + 1 < edges.length; at++) {
    const piece = text.slice(edges[at], edges[at + 1]);
    const over = quotes.filter((quote) => quote.from <= edges[at] && quote.to >= edges[at + 1]);
    if (!over.length) nodes.push(...shown(piece));
    else nodes.push(quotedMark(over, piece));
  }
  return nodes;
}

function quotedMark(over, piece) {
  const mark = h("mark", { class: "q" + (over[0].number % 6), "data-fields": over.map((quote) => quote.number).join(" "), title: over.map((quote) => plainText(quote.path)).join(", ") }, shown(piece));
  mark.paths = over.map((quote) => quote.path);
  return mark;
}

// What is said about a leaf: of a list of plain values, about each of its elements.
const about = (said, path) => Object.entries(said).filter(([name]) => name === path || (name.startsWith(path + ".") && /^\d+$/.test(name.slice(path.length + 1))));
