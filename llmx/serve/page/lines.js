// Rows of a job, of which only those are asked for that somebody looks at, and only so many held.

import { ask } from "./api.js";

export const CHUNK = 250; // rows that are asked for at a time
const HELD = 256e6; // bytes of rows that are held: the oldest go first
const PARSED = 600; // rows that are held as objects

export class Lines {
  // `expected`: how many there will be, 0 where nobody knows. `grown` is called when there is more to show.
  constructor(path, expected, signal, grown) {
    Object.assign(this, { path, expected, signal, grown });
    this.chunks = new Map(); // number: { bytes, ends }, the one that was used last at the end
    this.asked = new Map(); // number: promise
    this.parsed = new Map();
    this.held = 0;
    this.known = 0; // rows up to the last one that was seen
    this.end = null; // rows in all, once the end was seen
    this.loaded = 0;
  }

  get length() {
    return this.end ?? Math.max(this.expected, this.known && this.known + CHUNK);
  }

  has(at) {
    const chunk = this.chunks.get(Math.floor(at / CHUNK));
    return chunk !== undefined && at % CHUNK < chunk.ends.length;
  }

  // A row as it was written, undefined where it is not held.
  line(at) {
    const number = Math.floor(at / CHUNK), chunk = this.chunks.get(number);
    if (!chunk || at % CHUNK >= chunk.ends.length) return undefined;
    this.chunks.delete(number);
    this.chunks.set(number, chunk);
    return textOf(chunk, at % CHUNK);
  }

  // A row as an object without a prototype: a column may be called "constructor".
  row(at) {
    if (!this.parsed.has(at)) {
      const line = this.line(at);
      if (line === undefined) return undefined;
      if (this.parsed.size > PARSED) this.parsed.clear();
      this.parsed.set(at, rowOf(line));
    }
    return this.parsed.get(at);
  }

  // Ask for the chunk that a row is in; a promise that it is there, where it is to be had.
  want(at) {
    const number = Math.floor(at / CHUNK);
    if (this.chunks.has(number) && (this.chunks.get(number).ends.length === CHUNK || this.end !== null)) return Promise.resolve();
    if (!this.asked.has(number)) this.asked.set(number, this.read(number, 1).finally(() => this.asked.delete(number)));
    return this.asked.get(number);
  }

  // Look again for what has come after the rows that are known.
  more(most = 8) {
    return this.read(Math.floor((this.end ?? this.known) / CHUNK), most);
  }

  // Read so many chunks from one on, in one answer of the service; `tell` is called after each, and stops it by false.
  async read(first, most, tell = () => true) {
    const response = await ask(`${this.path}?after=${first * CHUNK}`, { signal: this.signal });
    const reader = response.body.getReader();
    const cut = new Cutter();
    let number = first;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        for (const chunk of cut.take(value)) {
          if (number >= first + most) return this.grown();
          this.keep(number++, chunk);
          if (!tell()) return this.grown();
        }
        if (number >= first + most && cut.size) return this.grown();
      }
      const rest = cut.rest();
      if (rest.ends.length) this.keep(number, rest);
      this.end = number * CHUNK + rest.ends.length;
    } finally {
      reader.cancel().catch(() => {});
    }
    this.grown();
  }

  keep(number, chunk) {
    const old = this.chunks.get(number);
    if (old) this.drop(number, old);
    this.chunks.set(number, chunk);
    this.held += chunk.bytes.length;
    this.loaded += chunk.ends.length;
    this.known = Math.max(this.known, number * CHUNK + chunk.ends.length);
    if (this.end !== null && this.known > this.end) this.end = null;
    for (const [oldest, each] of this.chunks) {
      if (this.held <= HELD || oldest === number) break;
      this.drop(oldest, each);
    }
  }

  drop(number, chunk) {
    this.chunks.delete(number);
    this.held -= chunk.bytes.length;
    this.loaded -= chunk.ends.length;
    for (let at = number * CHUNK; at < number * CHUNK + chunk.ends.length; at++) this.parsed.delete(at);
  }

  // The numbers of rows that are held and have a text in one of their values, in order; a chunk at a time.
  *search(text) {
    const needle = text.toLowerCase(), written = JSON.stringify(needle).slice(1, -1);
    for (const number of [...this.chunks.keys()].sort((one, other) => one - other)) {
      const chunk = this.chunks.get(number), found = [];
      for (let at = 0; chunk && at < chunk.ends.length; at++) {
        const line = textOf(chunk, at);
        if (line.toLowerCase().includes(written) && holds(rowOf(line), needle)) found.push(number * CHUNK + at);
      }
      yield found;
    }
  }

  // The first chunk that is not held, null where all are.
  get gap() {
    const chunks = Math.ceil(this.length / CHUNK);
    for (let number = 0; number < chunks; number++) if (!this.chunks.has(number)) return number;
    return null;
  }

  get isFull() {
    return this.held > HELD * 0.95;
  }
}

// Cuts bytes, as they come, into chunks of whole lines.
class Cutter {
  parts = [];
  size = 0;
  ends = [];

  *take(value) {
    let from = 0;
    for (let at = value.indexOf(10); at >= 0; at = value.indexOf(10, at + 1)) {
      this.ends.push(this.size + at + 1 - from);
      if (this.ends.length < CHUNK) continue;
      this.add(value.subarray(from, at + 1));
      from = at + 1;
      yield this.rest();
    }
    this.add(value.subarray(from));
  }

  add(part) {
    if (part.length) this.parts.push(part);
    this.size += part.length;
  }

  rest() {
    const bytes = new Uint8Array(this.size), ends = this.ends;
    let at = 0;
    for (const part of this.parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.parts = [];
    this.size = 0;
    this.ends = [];
    return { bytes, ends: Uint32Array.from(ends) };
  }
}

const DECODER = new TextDecoder();

const textOf = ({ bytes, ends }, at) => DECODER.decode(bytes.subarray(at ? ends[at - 1] : 0, ends[at] - 1));

function rowOf(line) {
  let row;
  try {
    row = JSON.parse(line);
  } catch {
    row = null;
  }
  return Object.setPrototypeOf(row !== null && typeof row === "object" && !Array.isArray(row) ? row : { _line: line }, null);
}

function holds(value, needle) {
  if (value === null || value === undefined) return false;
  if (typeof value === "object") return Object.values(value).some((inner) => holds(inner, needle));
  return String(value).toLowerCase().includes(needle);
}
