// The first rows of a file, read here: nothing is sent before somebody asks for it.

const LOOKED_AT = 512 * 1024; // bytes of a file that are read
const HELD = 100; // rows that are held

const KINDS = { jsonl: "application/x-ndjson", csv: "text/csv", tsv: "text/tab-separated-values", parquet: "application/vnd.apache.parquet" };
const SUFFIXES = { jsonl: "jsonl", ndjson: "jsonl", csv: "csv", tsv: "tsv", tab: "tsv", parquet: "parquet", pq: "parquet" };
const PACKED = /\.(gz|zst)$/i;

// What can be told of a file: {file, format, kind, columns, rows: [{text, data}], bad: [{line, message}], notes, number, isExact}.
// `text` is a row as JSON, as it was written where it was JSON: numbers of any length stay what they are.
export async function headOf(file) {
  const packed = (PACKED.exec(file.name) || ["", ""])[1].toLowerCase();
  const suffix = (/\.([^.]*)$/.exec(file.name.replace(PACKED, "")) || ["", ""])[1].toLowerCase();
  const head = { file, format: SUFFIXES[suffix] || "", kind: "", columns: [], rows: [], bad: [], notes: [], number: null, isExact: false };
  if (file.size === 0) head.notes.push("The file is empty.");
  if (head.format === "parquet" || packed === "zst") {
    head.notes.push("Its rows cannot be shown here; the service reads them.");
    head.format ||= "jsonl";
  } else readRows(head, await beginning(file, packed === "gz"), packed);
  head.kind = packed ? "application/octet-stream" : KINDS[head.format];
  return head;
}

// The beginning of a file as text, whether that is all of it, and how many of its bytes that is.
async function beginning(file, isPacked) {
  const source = isPacked ? file.stream().pipeThrough(new DecompressionStream("gzip")) : file.slice(0, LOOKED_AT).stream();
  const reader = source.getReader(), decoder = new TextDecoder();
  let text = "", size = 0, isAll = !isPacked && file.size <= LOOKED_AT;
  try {
    while (size < LOOKED_AT) {
      const { done, value } = await reader.read();
      isAll ||= isPacked && done;
      if (done) break;
      size += value.length;
      text += decoder.decode(value, { stream: true });
    }
  } catch {
    return { text, size, isAll: false, isBroken: true };
  } finally {
    reader.cancel().catch(() => {});
  }
  return { text: text + (isAll ? decoder.decode() : ""), size, isAll };
}

function readRows(head, { text, size, isAll, isBroken }, packed) {
  if (isBroken) head.notes.push("It is not whole, or not what its name says: it could not be unpacked.");
  if (/\0/.test(text) || /\ufffd{2}/.test(text)) head.notes.push("This does not look like text in UTF-8.");
  if (/^\s*\[/.test(text) && head.format !== "csv" && head.format !== "tsv") {
    head.notes.push("This is one JSON array. Rows are wanted as JSON Lines, one object on each line: jq -c '.[]' rows.json > rows.jsonl");
    return;
  }
  head.format ||= sniffed(text);
  const rows = head.format === "jsonl" ? jsonRows(text, isAll) : delimitedRows(text, head.format === "csv" ? "," : "\t", isAll, head);
  let number = 0;
  for (const row of rows) {
    if (row.message) head.bad.push(row);
    else if (head.rows.length < HELD) head.rows.push(row);
    number++;
  }
  head.isExact = isAll;
  const cut = text.length - 1 - text.lastIndexOf("\n"); // of a line that goes on beyond what was read
  head.number = isAll ? number : packed || !number ? null : Number(((number * head.file.size) / (size - cut)).toPrecision(2)); // no more digits than are known
  if (head.format === "jsonl") head.columns = [...new Set(head.rows.flatMap((row) => Object.keys(row.data)))];
  if (!number && head.file.size && !head.notes.length) head.notes.push("There are no rows in it.");
}

function sniffed(text) {
  const line = text.trimStart().split("\n", 1)[0];
  return line.startsWith("{") ? "jsonl" : line.includes("\t") ? "tsv" : line.includes(",") ? "csv" : "jsonl";
}

function* jsonRows(text, isAll) {
  const lines = text.split("\n");
  if (!isAll) lines.pop();
  for (const [at, line] of lines.entries()) {
    if (!line.trim()) continue;
    let data = null;
    try {
      data = JSON.parse(line);
    } catch {}
    if (data !== null && typeof data === "object" && !Array.isArray(data)) yield { text: line.trim(), data: Object.setPrototypeOf(data, null) };
    else yield { line: at + 1, message: "no JSON object" };
  }
}

function* delimitedRows(text, delimiter, isAll, head) {
  const records = recordsOf(text, delimiter, isAll);
  const first = records.next().value;
  if (!first) return;
  head.columns = first.cells.map((name, at) => name || "column_" + (at + 1));
  if (head.columns.length === 1 && head.columns[0].includes(";")) head.notes.push("It seems to have semicolons between its cells; the service takes commas.");
  if (new Set(head.columns).size < head.columns.length) head.notes.push("Two of its columns have the same name.");
  for (const { cells, line, isBad } of records) {
    if (cells.length === 1 && !cells[0].trim()) continue;
    if (isBad || cells.length !== head.columns.length) yield { line, message: isBad ? "a quote is not closed, or misplaced" : `${cells.length} cells under ${head.columns.length} names` };
    else {
      const data = Object.setPrototypeOf(Object.fromEntries(head.columns.map((name, at) => [name, cells[at]])), null);
      yield { text: JSON.stringify(data), data };
    }
  }
}

// Records of CSV (RFC 4180); the last one of a text that was cut is left out.
export function* recordsOf(text, delimiter, isAll) {
  const part = new RegExp(`"((?:[^"]|"")*)"(?=[\\r\\n${delimiter}]|$)|([^"\\r\\n${delimiter}]*)`, "y");
  let cells = [], line = 1, start = 1, at = 0;
  while (at < text.length) {
    part.lastIndex = at;
    const found = part.exec(text);
    cells.push(found[1] === undefined ? found[2] : found[1].replaceAll('""', '"'));
    if (found[1]) line += found[1].split("\n").length - 1;
    at = part.lastIndex;
    if (text[at] === delimiter) {
      at++;
      if (at < text.length) continue;
      cells.push("");
    }
    const isBad = at < text.length && text[at] !== "\r" && text[at] !== "\n";
    if (isBad) at = Math.max(at, text.indexOf("\n", at) < 0 ? text.length : text.indexOf("\n", at));
    if (at >= text.length && !isAll) return;
    yield { cells, line: start, isBad };
    if (text[at] === "\r") at++;
    if (text[at] === "\n") at++;
    cells = [];
    start = ++line;
  }
}
