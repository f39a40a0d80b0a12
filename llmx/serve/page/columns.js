// Which columns rows have, which of them the model gave, and how wide each is to be.

import { askJson } from "./api.js";
import { asText } from "./dom.js";

const LOOKED_AT = 60; // rows
const MOST = 60; // columns of a table: all of them are beside it

// The names of the fields that a job asks for, null where the page cannot tell.
export async function fieldsOf(job, signal) {
  const options = job.options || {};
  const names = namesIn(options.schema) || namesIn(await offered(options.schema || job.schema, signal));
  if (!names) return null;
  if (options.into) return new Set([options.into]);
  return new Set(names.map((name) => (options.prefix || "") + name));
}

async function offered(name, signal) {
  try {
    const { schemas } = await askJson("v1/schemas", { signal, isQuiet: true });
    const found = schemas.find((one) => one.name === name);
    return found ? found.json_schema : name;
  } catch {
    return name;
  }
}

// Names in a JSON Schema, or in fields written inline; what has no brackets, spaces or commas may be the name of a schema.
export function namesIn(schema) {
  if (schema && typeof schema === "object") return schema.properties && typeof schema.properties === "object" ? Object.keys(schema.properties) : null;
  if (typeof schema !== "string" || !/[ ,?]/.test(schema.trim())) return null;
  return schema.replace(/\[[^\]]*\]|"[^"]*"/g, "").split(/[,\n]/).map((field) => (/^\s*([\p{L}_][\p{L}\p{N}_]*)/u.exec(field) || [])[1]).filter(Boolean);
}

// Columns of a table of results: fields first, then what they were made of.
export function resultColumns(rows, fields) {
  const names = new Set(rows.slice(0, LOOKED_AT).flatMap((row) => Object.keys(row)).filter((name) => !name.startsWith("_") || name === "_line"));
  const isField = (name) => Boolean(fields && fields.has(name));
  const ordered = [...names].sort((one, other) => isField(other) - isField(one)).slice(0, MOST);
  return ordered.map((name) => ({ name, isField: isField(name), value: (row) => row[name], width: width(name, rows.map((row) => row[name])) }));
}

// Columns of a table of errors: what happened, then the row.
export function errorColumns(rows) {
  const said = (name) => (row) => (row._error || {})[name];
  const first = [["line", 5], ["type", 10], ["message", 26]].map(([name, size]) => ({ name, isField: true, value: said(name), width: size }));
  return [...first, ...resultColumns(rows, null)];
}

// In rem: enough for what most of its values say.
function width(name, values) {
  const longest = values.slice(0, LOOKED_AT).reduce((most, value) => Math.max(most, value === undefined || value === null ? 4 : asText(value).length), Math.min(name.length + 1, 24));
  return Math.min(20, Math.max(5, 1.6 + longest * 0.52));
}
