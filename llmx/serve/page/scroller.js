// A list of any length of which only what can be seen is on the page.

const TALLEST = 12e6; // pixels that every browser lays out: a longer list is scrolled in larger steps

export class Scroller {
  // `view` is scrolled, `spacer` in it is as tall as all rows; `head` pixels of the view are taken by what stays on top.
  constructor(view, spacer, row, head, draw) {
    Object.assign(this, { view, spacer, row, head, draw });
    this.length = 0;
    view.addEventListener("scroll", () => draw(), { passive: true });
  }

  watch(signal) {
    const watcher = new ResizeObserver(() => this.draw());
    watcher.observe(this.view);
    signal.addEventListener("abort", () => watcher.disconnect());
  }

  get whole() {
    return this.length * this.row;
  }

  get height() {
    return Math.max(0, this.view.clientHeight - this.head);
  }

  resize(length) {
    this.length = length;
    this.spacer.style.blockSize = Math.min(TALLEST, this.whole) + "px";
  }

  // The place in the list, in pixels of the whole of it, at the top of what can be seen.
  get top() {
    const room = Math.min(TALLEST, this.whole) - this.height;
    return room <= 0 ? 0 : (Math.min(this.view.scrollTop, room) / room) * (this.whole - this.height);
  }

  // The rows that can be seen: from one, up to before another.
  get seen() {
    const top = this.top;
    return [Math.max(0, Math.floor(top / this.row) - 3), Math.min(this.length, Math.ceil((top + this.height) / this.row) + 3)];
  }

  // Where a row is to be put, in pixels of the spacer.
  place(at) {
    return this.view.scrollTop + at * this.row - this.top;
  }

  reveal(at) {
    const top = this.top, above = at * this.row, below = above + this.row - this.height;
    const wanted = above < top ? above : below > top ? below : top;
    const room = Math.min(TALLEST, this.whole) - this.height;
    if (room > 0) this.view.scrollTop = (wanted / (this.whole - this.height)) * room;
  }
}
