// The page's requests as commands for a shell. The key is never in them: they read it from a variable.

import { addressOf, quoted } from "./parts.js";
import { key } from "./api.js";

const header = () => (key.value ? ' -H "Authorization: Bearer $LLMX_KEY"' : "");

export const curl = (path, ...words) => ["curl -sS" + header(), ...words, quoted(addressOf(path))].join(" ");

// What can be asked of a job, [what it does, the command].
export function commandsOf(job) {
  const path = "v1/jobs/" + encodeURIComponent(job.id);
  const name = fileName(job);
  return [
    ["Its state", curl(path)],
    ["Its progress as it goes", curl(path + "/events", "-N")],
    ["Its rows, also while it runs", curl(path + "/results?follow=true", "-o", quoted(name + ".jsonl"))],
    ["Its failed rows", curl(path + "/errors", "-o", quoted(name + ".errors.jsonl"))],
    ["End it", curl(path, "-X DELETE")],
  ];
}

// A name for a job's files that no shell and no system minds.
export const fileName = (job) => (job.name || "").replace(/\.(jsonl|ndjson|csv|tsv|parquet|json)?(\.gz|\.zst)?$/i, "").replace(/[^\w.-]+/g, "-").replace(/^[-.]+|[-.]+$/g, "").slice(0, 80) || job.id.replace(/\W+/g, "-");

// The command that makes a job of a file.
export const submitCommand = (request, file, kind) => `curl -sS${header()} \\\n  -F ${quoted("request=" + JSON.stringify(request) + ";type=application/json")} \\\n  -F ${quoted(`file=@${file};type=${kind}`)} \\\n  ${quoted(addressOf("v1/jobs"))}`;
