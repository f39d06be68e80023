/** The tool bar of the log viewer and what it does: follow, wrap, first error, steps, search, go to line, copy a link. */
import { now } from './browser-clock.ts';
import { markMatches } from './log-marks.ts';
import { looksLikeError, scanLog } from './log-scan.ts';
import { openLogSource, type LogAddress, type LogSource } from './log-source.ts';
import { LogStore } from './log-store.ts';
import { LogView } from './log-view.ts';

const scanLimitBytes = 256 * 1024 * 1024;
/** How far a page that has just been opened looks for the first error by itself. */
const firstLookBytes = 8 * 1024 * 1024;
const failedStep = '.step.failed [data-log-from], .step.timed-out [data-log-from]';

export interface OpenLog {
  close(): void;
}

export function openLog(panel: HTMLElement, address: LogAddress & { readonly attempt: string }): OpenLog {
  const open = new Panel(panel, address);
  open.start();
  return open;
}

class Panel implements OpenLog {
  readonly #panel: HTMLElement;
  readonly #attempt: string;
  readonly #source: LogSource;
  readonly #store: LogStore;
  readonly #view: LogView;
  readonly #closed = new AbortController();
  #scan = new AbortController();
  #marked: number | undefined;

  constructor(panel: HTMLElement, { attempt, ...address }: LogAddress & { readonly attempt: string }) {
    this.#panel = panel;
    this.#attempt = attempt;
    this.#source = openLogSource(address);
    const onTrouble = (error: unknown): void => this.#say(error instanceof Error ? error.message : String(error));
    this.#store = new LogStore(this.#source, {
      onGrown: (line) => this.#grown(line),
      onEnd: () => this.#ended(),
      onTrouble,
      now,
    });
    const box = this.#one('.rows');
    box.classList.add('scripted');
    this.#view = new LogView(box, this.#store, {
      onFollow: () => this.#showFollow(),
      onRows: () => markMatches(box, this.#query),
      onTrouble,
    });
  }

  start(): void {
    const on = (selector: string, event: string, act: (event: Event) => void): void =>
      this.#one(selector).addEventListener(event, act, { signal: this.#closed.signal });
    this.#one('.tools').hidden = false;
    on('[name=follow]', 'change', ({ target }) => this.#view.follow((target as HTMLInputElement).checked));
    on('[name=wrap]', 'change', ({ target }) => this.#setWrap((target as HTMLInputElement).checked));
    on('[name=error]', 'click', () => void this.#firstError());
    on('form.find', 'submit', (event) => void this.#find(event, (event as SubmitEvent).submitter?.getAttribute('value') === 'back'));
    on('form.goto', 'submit', (event) => this.#goTo(event));
    on('.rows', 'click', (event) => this.#clickLine(event));
    const { signal } = this.#closed;
    window.addEventListener('hashchange', () => void this.#showHash(), { signal });
    document.addEventListener('visibilitychange', () => void this.#resume(), { signal });
    document.addEventListener('click', (event) => this.#clickStep(event), { signal });
    this.#setWrap(localStorage.getItem('croft-wrap') === '1');
    void this.#open();
  }

  close(): void {
    this.#closed.abort();
    this.#scan.abort();
    this.#view.close();
  }

  async #open(): Promise<void> {
    try {
      await this.#store.open();
    } catch (error) {
      this.#say(error instanceof Error ? error.message : String(error));
      return;
    }
    if (await this.#showHash()) return this.#showFollow();
    this.#view.follow(this.#store.live);
    if (!this.#store.live && this.#marked === undefined && document.querySelector(failedStep)) await this.#firstError(firstLookBytes);
    this.#showFollow();
  }

  /** A hidden page holds no connection; a browser allows six of them to one server. */
  async #resume(): Promise<void> {
    if (!this.#store.live) return;
    if (document.hidden) this.#store.close();
    else await this.#open();
  }

  get #query(): string {
    return this.#one<HTMLInputElement>('[name=find]').value.toLowerCase();
  }

  #grown(line: number): void {
    this.#view.grown(line);
    this.#one('.count').textContent = `${this.#store.lines.toLocaleString('en')} lines`;
  }

  #ended(): void {
    this.#view.grown(this.#store.lines);
    this.#view.follow(false);
    this.#showFollow();
    this.#say('The log is complete.');
  }

  #showFollow(): void {
    const box = this.#one<HTMLInputElement>('[name=follow]');
    box.checked = this.#view.following;
    box.disabled = !this.#store.live;
  }

  #setWrap(on: boolean): void {
    const top = this.#view.topLine;
    this.#one<HTMLInputElement>('[name=wrap]').checked = on;
    this.#one('.rows').classList.toggle('wrap', on);
    localStorage.setItem('croft-wrap', on ? '1' : '0');
    if (!this.#view.following && this.#store.lines > 0) void this.#view.show(top);
  }

  async #find(event: Event, back: boolean): Promise<void> {
    event.preventDefault();
    const query = this.#query;
    if (query === '') return;
    const fits = (text: string): boolean => text.toLowerCase().includes(query);
    const at = this.#marked ?? this.#view.topLine - 1;
    const found = back
      ? this.#store.findBack(at, fits)
      : ((await this.#scanFrom(at + 1, fits)) ?? (at >= 0 ? await this.#scanFrom(0, fits) : undefined));
    if (found === undefined) this.#say(back ? 'Not found above, in what is loaded.' : 'Not found.');
    else await this.#mark(found, `Found in line ${found + 1}.`);
  }

  async #firstError(limitBytes = scanLimitBytes): Promise<void> {
    const step = document.querySelector<HTMLElement>(failedStep);
    const begin = await this.#source.locate({ offset: Number(step?.dataset['logFrom'] ?? 0) });
    const found = await this.#scanFrom(begin.line, looksLikeError, limitBytes);
    await this.#mark(
      found ?? begin.line,
      found === undefined ? 'No line looks like an error; this is where the step begins.' : `Line ${found + 1} looks like the first error.`,
    );
  }

  /** A newer search calls the one before it off. */
  async #scanFrom(from: number, fits: (text: string) => boolean, limitBytes = scanLimitBytes): Promise<number | undefined> {
    this.#scan.abort();
    this.#scan = new AbortController();
    const onProgress = (bytes: number): void => this.#say(`Searching… ${Math.round(bytes / 1024 / 1024)} MiB`);
    return scanLog(this.#source, fits, { from, limitBytes, signal: this.#scan.signal, onProgress });
  }

  #goTo(event: Event): void {
    event.preventDefault();
    const line = Number.parseInt(this.#one<HTMLInputElement>('[name=line]').value, 10);
    if (!(line >= 1)) return;
    if ((event as SubmitEvent).submitter?.getAttribute('value') === 'copy') void this.#copyLink(line);
    this.#setHash(line);
    void this.#mark(line - 1, '');
  }

  #clickLine(event: Event): void {
    const number = (event.target as Element).closest('.row > a')?.textContent;
    if (!number) return;
    event.preventDefault();
    this.#setHash(Number(number));
    this.#choose(Number(number) - 1);
  }

  /** A step's link leads to where its output begins. */
  #clickStep(event: Event): void {
    const from = (event.target as Element).closest<HTMLElement>('[data-log-from]')?.dataset['logFrom'];
    if (from === undefined) return;
    event.preventDefault();
    void this.#source.locate({ offset: Number(from) }).then(({ line }) => this.#mark(line, ''));
    this.#panel.scrollIntoView({ block: 'nearest' });
  }

  /** True when the address names a line. */
  async #showHash(): Promise<boolean> {
    const line = /^#L(\d{1,15})$/.exec(location.hash)?.[1];
    if (line === undefined) return false;
    await this.#mark(Number(line) - 1, '');
    return true;
  }

  /** The link names the attempt too: the page shows the last one otherwise. */
  #setHash(line: number): void {
    const address = new URL(location.href);
    address.searchParams.set('attempt', this.#attempt);
    address.hash = `L${line}`;
    history.replaceState(null, '', address);
  }

  async #copyLink(line: number): Promise<void> {
    this.#setHash(line);
    try {
      await navigator.clipboard.writeText(location.href);
      this.#say(`Link to line ${line} copied.`);
    } catch {
      this.#say(`The link is in the address bar: ${location.hash}`); // no clipboard without TLS or consent
    }
  }

  async #mark(line: number, text: string): Promise<void> {
    await this.#view.show(line);
    this.#choose(line);
    this.#say(text);
  }

  #choose(line: number): void {
    this.#marked = line;
    this.#one<HTMLInputElement>('[name=line]').value = String(line + 1);
    for (const row of this.#panel.querySelectorAll('.row.chosen')) row.classList.remove('chosen');
    this.#panel.querySelector(`#L${line + 1}`)?.classList.add('chosen');
  }

  #say(text: string): void {
    this.#one('.said').textContent = text;
  }

  #one<E extends HTMLElement = HTMLElement>(selector: string): E {
    const element = this.#panel.querySelector<E>(selector);
    if (!element) throw new Error(`the log panel has no ${selector}`);
    return element;
  }
}
