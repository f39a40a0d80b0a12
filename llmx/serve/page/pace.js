// How fast a job goes, by the snapshots that have come while the page was open.

import { overTime } from "./charts.js";
import { count } from "./dom.js";
import { between } from "./parts.js";

const WINDOW = 20_000; // milliseconds that a rate is taken over
const MOST = 2_000; // snapshots that are kept
const BUCKETS = 60;

export class Pace {
  constructor(clock = () => performance.now()) {
    this.clock = clock;
    this.points = []; // [milliseconds, rows that had ended]
  }

  add(job) {
    const last = this.points[this.points.length - 1];
    if (last && job.rows.settled < last[1]) this.points = [];
    this.points.push([this.clock(), job.rows.settled]);
    if (this.points.length > MOST) this.points.splice(1, this.points.length - MOST);
  }

  // Rows a second of late, null while too little is known.
  rate() {
    const time = this.clock(), last = this.points[this.points.length - 1];
    const from = this.points.find((point) => point[0] >= time - WINDOW) || last;
    if (!last || from === last || time - from[0] < 500) return this.steady;
    this.steady = ((last[1] - from[1]) / (time - from[0])) * 1000;
    return this.steady;
  }

  steady = null;

  average(job) {
    const took = between(job.started, job.ended);
    return took ? (job.rows.settled / took).toFixed(1) + " on average" : "";
  }

  get seconds() {
    return this.points.length ? (this.points[this.points.length - 1][0] - this.points[0][0]) / 1000 : 0;
  }

  hasChart() {
    return this.points.length >= 6 && this.seconds >= 5;
  }

  // Rows a second in each of so many equal parts of the time; null where no snapshot came.
  buckets() {
    const number = Math.min(BUCKETS, this.points.length - 1), start = this.points[0][0], whole = this.seconds * 1000;
    const values = new Array(number).fill(null);
    for (let at = 1; at < this.points.length; at++) {
      const [from, before] = this.points[at - 1], [to, after] = this.points[at];
      const first = Math.floor(((from - start) / whole) * number), last = Math.min(number - 1, Math.floor(((to - start) / whole) * number));
      const share = (after - before) / (last - first + 1);
      for (let bucket = first; bucket <= last; bucket++) values[bucket] = (values[bucket] || 0) + share;
    }
    return values.map((rows) => (rows === null ? null : rows / (whole / 1000 / number)));
  }
}

export function paceChart(pace) {
  const values = pace.buckets();
  return overTime("Rows a second since this page was opened", [{ name: "rows a second", kind: "one", values }], { buckets: values.length, seconds: pace.seconds, sessions: [], stacked: true, format: (value) => (value >= 10 ? count(Math.round(value)) : value.toFixed(1)) });
}
