// Where rows come from: elements of this file, or the server that sent it. A chunk is unpacked when it is asked for.

const CACHED = 48e6; // characters of unpacked chunks that are held: a second search does not unpack again

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let at = 0; at < characters.length; at++) bytes[at] = characters.charCodeAt(at);
  return bytes;
}

const unzipped = (bytes) => new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();

const live = document.documentElement.dataset.mode === "live";

const store = {
  summary: null,
  flags: new Uint8Array(0),
  confidence: new Uint8Array(0),
  texts: new Map(),
  held: 0,

  get rows() {
    return this.flags.length;
  },

  async open() {
    this.take(JSON.parse(live ? await this.asked("summary") : await unzipped(this.block("summary"))));
  },

  take(summary) {
    const old = this.summary;
    this.summary = summary;
    this.flags = fromBase64(summary.flags);
    this.confidence = fromBase64(summary.confidence);
    if (old && old.epoch !== summary.epoch) this.texts.clear();
    else if (old && old.chunks.length) this.texts.delete(old.chunks.length - 1); // it may have grown
  },

  block: (id) => fromBase64(byId(id).textContent),

  async asked(what) {
    const response = await fetch(what, { cache: "no-store", credentials: "omit" });
    if (!response.ok) throw new Error(response.status + " " + response.statusText);
    return what.startsWith("rows/") ? unzipped(await response.arrayBuffer()) : response.text();
  },

  // The number of the chunk that has a row.
  chunkOf(row) {
    const chunks = this.summary.chunks;
    let low = 0, high = chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (chunks[middle][0] <= row) low = middle;
      else high = middle - 1;
    }
    return low;
  },

  // The lines of a chunk, one for each row.
  lines(number) {
    let found = this.texts.get(number);
    if (found) {
      this.texts.delete(number);
    } else {
      const { epoch, chunks } = this.summary;
      const text = live ? this.asked(`rows/${number}?of=${epoch}.${chunks[number][1]}`) : unzipped(this.block("c" + number));
      found = { size: 0, lines: text.then((all) => this.split(number, all)) };
      found.lines.catch(() => this.texts.delete(number));
    }
    this.texts.set(number, found);
    return found.lines;
  },

  split(number, text) {
    const found = this.texts.get(number);
    const lines = text.split("\n");
    if (found) Object.assign(found, { size: text.length, ready: lines });
    this.held = 0;
    for (const each of this.texts.values()) this.held += each.size;
    for (const [oldest, each] of this.texts) {
      if (this.held <= CACHED || oldest === number) break;
      this.held -= each.size;
      this.texts.delete(oldest);
    }
    return lines;
  },

  async row(number) {
    const chunk = this.chunkOf(number);
    const lines = await this.lines(chunk);
    return rowOf(lines[number - this.summary.chunks[chunk][0]]);
  },
};

// A line as a row. Its objects have no prototype: a column may be called "constructor".
function rowOf(line) {
  const row = JSON.parse(line);
  for (const part of [row.r, row.o, row.g, row.c, row.v]) if (part) Object.setPrototypeOf(part, null);
  return row;
}

const FAILED = 1, DISAGREES = 2, CHANGED = 4, UNCITED = 8, CITED = 16, NO_CONFIDENCE = 255;

// The columns that the run has read, those that the model gave, and the one that says best what a row is about.
function columnsOf(summary) {
  const all = summary.fields.filter((field) => field.path === field.column);
  const inputs = new Set(summary.inputs || []);
  const about = all.filter((field) => field.column === "gold" || field.column.startsWith("_")).map((field) => field.column);
  const given = all.map((field) => field.column).filter((column) => !inputs.has(column) && !about.includes(column));
  const texts = all.filter((field) => field.lengths && field.kind === "text" && (!inputs.size || inputs.has(field.column)) && field.column !== summary.key);
  const longest = texts.reduce((best, field) => (!best || field.lengths.mean > best.lengths.mean ? field : best), null);
  const subject = longest && (inputs.size || longest.lengths.mean >= 30) ? longest.column : null;
  const fields = inputs.size || summary.inputs ? given : given.filter((column) => column !== summary.key && column !== subject);
  return { inputs, fields, subject, known: summary.inputs !== null };
}

// The values of a field, `items[].name` of the column `items`, in a row.
function valuesAt(row, field) {
  let found = [Object.hasOwn(row, field.column) ? row[field.column] : undefined];
  for (const part of field.path.slice(field.column.length).match(/\[\]|\.(?:(?!\[\]|\.)[^])+/g) || []) {
    if (part === "[]") found = found.flatMap((value) => (Array.isArray(value) ? value : []));
    else found = found.map((value) => (value && typeof value === "object" && Object.hasOwn(value, part.slice(1)) ? value[part.slice(1)] : undefined));
  }
  return found;
}
