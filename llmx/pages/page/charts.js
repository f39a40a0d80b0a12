// Small charts: shapes in SVG that stretch with the page, words and numbers beside them in HTML, and each with a table.

const HEIGHT = 100, WIDE = 1000;

// Bars for counts, one for each [from, to, count]; `label` names them to those who do not see them.
function histogram(bins, label, format, options) {
  const single = options && options.whole && bins.every(([from, to]) => to - from === 1);
  const most = Math.max(1, ...bins.map((bin) => bin[2]));
  const width = WIDE / bins.length;
  const bars = bins.map(([from, to, number], at) => {
    const height = number ? Math.max(1.5, (number / most) * HEIGHT) : 0;
    return svg("rect", { x: at * width + width * 0.04, y: HEIGHT - height, width: width * 0.92, height, class: "bar-shape" },
      svg("title", null, format(from) + (to === from || single ? "" : " to " + format(to)) + ": " + count(number)));
  });
  const last = bins[bins.length - 1];
  const ends = [bins[0][0], single ? last[0] : last[1]];
  const picture = svg("svg", { viewBox: `0 0 ${WIDE} ${HEIGHT}`, preserveAspectRatio: "none", class: "histogram", role: "img", "aria-label": label }, bars);
  const note = (options && options.note) || "";
  return h("figure", { class: "chart" }, h("div", { class: "plot" }, picture, h("span", { class: "most", "aria-hidden": "true", text: count(most) })),
    h("div", { class: "axis", "aria-hidden": "true" }, h("span", { text: format(ends[0]) }), h("span", { class: "muted", text: note }), h("span", { text: ends[1] === ends[0] ? "" : format(ends[1]) })));
}

const binTable = (caption, bins, format) =>
  table(caption, ["from", "to", "rows"], bins.filter((bin) => bin[2]).map(([from, to, number]) => [format(from), format(to), count(number)]), [0, 1, 2]);

// Choices as bars; each is a button where `act` is given.
function choices(values, total, act) {
  const most = Math.max(1, ...values.map((pair) => pair[1]));
  return h("ul", { class: "choices" }, values.map(([value, number]) => {
    const bar = h("span", { class: "fill" });
    bar.style.inlineSize = (number / most) * 100 + "%";
    const inner = [h("span", { class: "what", title: plainText(asText(value)) }, valueNode(value)), h("span", { class: "track", "aria-hidden": "true" }, bar), h("span", { class: "num", text: count(number) }), h("span", { class: "num share", text: percent(number / total) })];
    return h("li", null, act ? h("button", { type: "button", class: "choice", title: "Show these rows", on: { click: () => act(value) } }, inner) : h("div", { class: "choice" }, inner));
  }));
}

// A share of a whole as a thin bar; without a label where the number stands beside it.
function meter(share, kind, label) {
  const bar = h("span", { class: "fill " + kind });
  bar.style.inlineSize = Math.min(100, share * 100) + "%";
  return h("span", label ? { class: "track", role: "img", "aria-label": label } : { class: "track", "aria-hidden": "true" }, bar);
}

// Figures over time: areas upon each other, or lines. `series`: {name, kind, values}, a value for each bucket, null where there is none.
function overTime(label, series, options) {
  const { buckets, seconds, sessions, stacked, format } = options;
  const sums = Array.from({ length: buckets }, (_, at) => series.reduce((sum, one) => (stacked ? sum + (one.values[at] || 0) : Math.max(sum, one.values[at] || 0)), 0));
  const most = nice(Math.max(...sums, 0));
  const x = (at) => (at / buckets) * WIDE;
  const y = (value) => HEIGHT - (value / most) * HEIGHT;
  const grid = [0, 0.5, 1].map((share) => svg("line", { x1: 0, x2: WIDE, y1: HEIGHT * share, y2: HEIGHT * share, class: "grid" }));
  const marks = sessions.filter((start) => start > 0).map((start) => svg("line", { x1: (start / seconds) * WIDE, x2: (start / seconds) * WIDE, y1: 0, y2: HEIGHT, class: "session" }, svg("title", null, "the run went on here")));
  const shapes = stacked ? areas(series, buckets, x, y) : series.map((one) => svg("path", { d: stepped(one.values, x, y), class: "line " + one.kind }));
  const picture = svg("svg", { viewBox: `0 0 ${WIDE} ${HEIGHT}`, preserveAspectRatio: "none", class: "timeline", role: "img", "aria-label": `${label}, over ${duration(seconds)}: ${series.map((one) => one.name).join(", ")}; at most ${format(Math.max(...sums, 0))}` }, grid, shapes, marks);
  const legend = h("ul", { class: "legend", "aria-hidden": "true" }, series.map((one) => h("li", null, h("span", { class: "swatch " + one.kind }), one.name)));
  return h("figure", { class: "chart" }, h("figcaption", null, h("span", { text: label }), series.length > 1 && legend),
    h("div", { class: "plot tall" }, picture, h("span", { class: "most", "aria-hidden": "true", text: format(most) }), h("span", { class: "half", "aria-hidden": "true", text: format(most / 2) })),
    h("div", { class: "axis", "aria-hidden": "true" }, [0, 0.25, 0.5, 0.75, 1].map((share) => h("span", { text: share ? duration(seconds * share) : "0" }))));
}

function areas(series, buckets, x, y) {
  let below = new Array(buckets).fill(0);
  return series.map((one) => {
    const above = below.map((value, at) => value + (one.values[at] || 0));
    let path = "";
    for (let at = 0; at < buckets; at++) path += `${at ? "L" : "M"}${x(at)} ${y(above[at])}H${x(at + 1)}`;
    for (let at = buckets - 1; at >= 0; at--) path += `L${x(at + 1)} ${y(below[at])}H${x(at)}`;
    below = above;
    return svg("path", { d: path + "Z", class: "area " + one.kind });
  });
}

function stepped(values, x, y) {
  let path = "", drawn = false;
  values.forEach((value, at) => {
    if (value !== null) path += `${drawn ? "L" : "M"}${x(at)} ${y(value)}H${x(at + 1)}`;
    drawn = value !== null;
  });
  return path || "M0 0";
}

// The least of 1, 2, 5, 10 … times a power of ten that is not below a value.
function nice(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((times) => times * power >= value * 0.999);
}
