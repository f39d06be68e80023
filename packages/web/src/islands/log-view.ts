/**
 * The scrolling window over a log: at most eight blocks of rows in the document, real scrolling, variable heights (wrapped lines).
 * Above and below stand pads in place of the lines that are not there; in a log so long that a browser could not hold its
 * height, a pixel of pad stands for more than one.
 */
import { blockLines, type LogStore } from './log-store.ts';
import { renderBlock, updateBlock } from './log-rows.ts';
import { oncePerFrame } from './browser-clock.ts';

const maxMounted = 8;
const marginPx = 1500;
const maxPadPx = 6_000_000;

export interface LogViewEvents {
  /** Following was switched on or off by scrolling. */
  onFollow(following: boolean): void;
  /** Rows have come, gone or changed. */
  onRows(): void;
  onTrouble(error: unknown): void;
}

export class LogView {
  readonly #box: HTMLElement;
  readonly #store: LogStore;
  readonly #events: LogViewEvents;
  readonly #above = document.createElement('div');
  readonly #rows = document.createElement('div');
  readonly #below = document.createElement('div');
  readonly #closed = new AbortController();
  readonly #rowPx: number;
  #following = false;
  #goal: number | undefined;
  #grownFrom = Number.POSITIVE_INFINITY;
  #settling: Promise<void> | undefined;
  #again = false;
  #top = 0;

  constructor(box: HTMLElement, store: LogStore, events: LogViewEvents) {
    this.#box = box;
    this.#store = store;
    this.#events = events;
    this.#rowPx = Number.parseFloat(getComputedStyle(box).lineHeight) || 18;
    this.#rows.className = 'blocks';
    box.replaceChildren(this.#above, this.#rows, this.#below);
    const { signal } = this.#closed;
    box.addEventListener('scroll', () => this.#onScroll(), { passive: true, signal });
    box.addEventListener('wheel', ({ deltaY }) => deltaY < 0 && this.#setFollowing(false), { passive: true, signal });
  }

  close(): void {
    this.#closed.abort();
    this.#store.close();
  }

  get following(): boolean {
    return this.#following;
  }

  /** Keeps the end in sight, or stays where it is. */
  follow(on: boolean): void {
    this.#setFollowing(on);
    void this.#settle();
  }

  /** Scrolls to a line, counted from 0, and gives its row. */
  async show(line: number): Promise<HTMLElement | undefined> {
    this.#setFollowing(false);
    const wanted = Math.min(Math.max(0, line), Math.max(0, this.#store.lines - 1));
    this.#goal = wanted;
    await this.#settle();
    return this.#row(wanted);
  }

  /** First line in sight, from 0. */
  get topLine(): number {
    const { top } = this.#box.getBoundingClientRect();
    const block = this.#mounted().find((candidate) => candidate.getBoundingClientRect().bottom > top);
    if (!block) return 0;
    const row = [...block.children].findIndex((candidate) => candidate.getBoundingClientRect().bottom > top + 1);
    return indexOf(block) * blockLines + Math.max(0, row);
  }

  /** The store has more lines, `line` being the first that is new or different. */
  grown(line: number): void {
    this.#grownFrom = Math.min(this.#grownFrom, line);
    this.#grow();
  }

  readonly #grow = oncePerFrame(() => {
    const from = this.#grownFrom;
    this.#grownFrom = Number.POSITIVE_INFINITY;
    for (const block of this.#mounted()) {
      const lines = (indexOf(block) + 1) * blockLines > from ? this.#store.held(indexOf(block)) : undefined;
      if (lines) updateBlock(block, lines, from);
    }
    void this.#settle();
  });

  #onScroll(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    const moved = scrollTop - this.#top;
    this.#top = scrollTop;
    if (moved < -2) this.#setFollowing(false);
    else if (moved > 0 && this.#store.live && scrollHeight - scrollTop - clientHeight < 4 && this.#hasEnd()) this.#setFollowing(true);
    void this.#settle();
  }

  #setFollowing(on: boolean): void {
    if (this.#following === on) return;
    this.#following = on;
    this.#events.onFollow(on);
  }

  /** Brings the document to what is wanted; one at a time, once more when something was wanted meanwhile. */
  #settle(): Promise<void> {
    this.#again = true;
    this.#settling ??= this.#settleAll().finally(() => {
      this.#settling = undefined;
    });
    return this.#settling;
  }

  async #settleAll(): Promise<void> {
    try {
      while (this.#again && !this.#closed.signal.aborted) {
        this.#again = false;
        for (let steps = 0; steps < 2 * maxMounted && (await this.#step()); steps += 1);
        this.#place();
        this.#events.onRows();
      }
    } catch (error) {
      this.#events.onTrouble(error);
    }
  }

  /** One block more; false when all that is wanted is there. */
  async #step(): Promise<boolean> {
    const mounted = this.#mounted();
    const [first, last] = [mounted[0], mounted.at(-1)].map((block) => block && indexOf(block));
    if (this.#following && last !== this.#store.lastBlock) return this.#mount(this.#store.lastBlock);
    const goal = this.#goal === undefined ? undefined : Math.floor(this.#goal / blockLines);
    if (goal !== undefined && !mounted.some((block) => indexOf(block) === goal)) return this.#mount(goal);
    if (first === undefined || last === undefined) return this.#mount(this.#following ? this.#store.lastBlock : 0);
    if (goal !== undefined) this.#place();
    const view = this.#box.getBoundingClientRect();
    const rows = this.#rows.getBoundingClientRect();
    if (rows.bottom < view.top || rows.top > view.bottom) return this.#mountAtScroll();
    if (first > 0 && rows.top > view.top - marginPx) return this.#mount(first - 1);
    if (last < this.#store.lastBlock && rows.bottom < view.bottom + marginPx) return this.#mount(last + 1);
    return false;
  }

  /** The scroll bar was dragged to where there are no rows. Who has dragged it on while they were loaded is not brought back. */
  async #mountAtScroll(): Promise<boolean> {
    const { scrollTop } = this.#box;
    const line = Math.min(this.#store.lines - 1, Math.max(0, Math.floor(scrollTop / this.#linePx())));
    const index = Math.floor(line / blockLines);
    await this.#store.block(index);
    if (this.#box.scrollTop !== scrollTop) return true;
    const mounted = await this.#mount(index);
    this.#scrollTo(this.#row(line), 0);
    return mounted;
  }

  async #mount(index: number): Promise<boolean> {
    const lines = await this.#store.block(index);
    const mounted = this.#mounted();
    const [first, last] = [mounted[0], mounted.at(-1)];
    const block = renderBlock(index, this.#store.held(index) ?? lines);
    this.#keepInPlace(() => {
      if (first && index === indexOf(first) - 1) first.before(block);
      else if (last && index === indexOf(last) + 1) last.after(block);
      else this.#rows.replaceChildren(block);
      while (this.#rows.childElementCount > maxMounted)
        (this.#rows.firstElementChild === block ? this.#rows.lastElementChild : this.#rows.firstElementChild)?.remove();
      this.#setPads();
    });
    return true;
  }

  /** Changes rows without moving what is being read; nothing is where rows are still to come. */
  #keepInPlace(change: () => void): void {
    const view = this.#box.getBoundingClientRect();
    const anchor = this.#mounted().find((block) => {
      const { top, bottom } = block.getBoundingClientRect();
      return bottom > view.top && top < view.bottom;
    });
    const before = anchor?.getBoundingClientRect().top ?? 0;
    change();
    if (anchor?.isConnected) this.#box.scrollTop += anchor.getBoundingClientRect().top - before;
    this.#top = this.#box.scrollTop;
  }

  /** Scrolls to the end when following, to the goal once it is there. */
  #place(): void {
    this.#setPads();
    if (this.#following) this.#box.scrollTop = this.#box.scrollHeight;
    else if (this.#goal !== undefined) {
      this.#scrollTo(this.#row(this.#goal), this.#box.clientHeight / 3);
      this.#goal = undefined;
    }
    this.#top = this.#box.scrollTop;
  }

  #scrollTo(row: HTMLElement | undefined, belowTopPx: number): void {
    if (row) this.#box.scrollTop += row.getBoundingClientRect().top - this.#box.getBoundingClientRect().top - belowTopPx;
    this.#top = this.#box.scrollTop;
  }

  #setPads(): void {
    const mounted = this.#mounted();
    const first = mounted[0] ? indexOf(mounted[0]) : 0;
    const below = this.#store.lines - ((mounted.at(-1) ? indexOf(mounted.at(-1) as HTMLElement) : -1) + 1) * blockLines;
    this.#above.style.height = `${first * blockLines * this.#linePx()}px`;
    this.#below.style.height = `${Math.max(0, below) * this.#linePx()}px`;
  }

  #linePx(): number {
    return Math.min(this.#rowPx, maxPadPx / Math.max(1, this.#store.lines));
  }

  #hasEnd(): boolean {
    const last = this.#mounted().at(-1);
    return last !== undefined && indexOf(last) === this.#store.lastBlock;
  }

  #row(line: number): HTMLElement | undefined {
    return this.#rows.querySelector<HTMLElement>(`#L${line + 1}`) ?? undefined;
  }

  #mounted(): HTMLElement[] {
    return [...this.#rows.children] as HTMLElement[];
  }
}

function indexOf(block: HTMLElement): number {
  return Number(block.dataset['index']);
}
