// What the key may still do: requests a minute, tokens and dollars a day.

import { askJson } from "./api.js";
import { count, dollars, h, short, shown } from "./dom.js";
import { inWords, put } from "./parts.js";

const EVERY = 15_000; // milliseconds between two looks

// A strip that keeps itself fresh until `signal`; nothing is shown where the key has no limits.
export function limitsStrip(signal) {
  const strip = h("section", { class: "limits", "aria-label": "Limits of the key", hidden: true });
  const look = async () => {
    let limits = null;
    try {
      limits = await askJson("v1/limits", { signal, isQuiet: true });
    } catch {} // what matters is told elsewhere
    if (limits) draw(strip, limits);
  };
  look();
  const timer = setInterval(() => document.hidden || look(), EVERY);
  signal.addEventListener("abort", () => clearInterval(timer));
  return strip;
}

function draw(strip, limits) {
  const { tokens, cost } = limits.daily || {};
  const all = [
    limits.rpm && one("Requests this minute", limits.rpm.limit - limits.rpm.remaining, limits.rpm.limit, count, limits.rpm.reset ? "all of them again in " + inWords(Number(limits.rpm.reset)) : ""),
    tokens && one("Tokens in 24 hours", tokens.spent, tokens.limit, short, short(Number(tokens.left)) + " left"),
    cost && one("Dollars in 24 hours", cost.spent, cost.limit, dollars, dollars(Number(cost.left)) + " left"),
  ].filter(Boolean);
  strip.hidden = !all.length;
  put(strip, limits.key && h("div", { class: "limit key-name" }, h("span", { class: "muted", text: "Key " }), h("b", null, h("bdi", null, shown(String(limits.key))))), all);
}

function one(title, used, limit, format, more) {
  if (limit === null || limit === undefined) return null;
  const share = Number(limit) ? Math.min(1, Number(used) / Number(limit)) : 1;
  const bar = h("span", { class: "fill " + (share >= 0.9 ? "bad" : share >= 0.7 ? "warn" : "good") });
  bar.style.inlineSize = share * 100 + "%";
  return h("div", { class: "limit" },
    h("div", null, h("span", { class: "muted", text: title + " " }), h("b", { class: "number-text", text: `${format(Number(used))} of ${format(Number(limit))}` })),
    h("span", { class: "track", "aria-hidden": "true" }, bar), more && h("span", { class: "muted small", text: more }));
}
