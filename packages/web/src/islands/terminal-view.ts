/**
 * The terminal as it is drawn: xterm in the page's colours and size, which leaves the keyboard a way out (Shift+F6) and reads itself
 * to screen readers when told to.
 */
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import { oncePerFrame } from './browser-clock.ts';
import { cellWidths } from './cell-width.ts';

export interface TerminalView {
  readonly size: { readonly cols: number; readonly rows: number };
  /** `done` when it was drawn. */
  write(bytes: Uint8Array | string, done?: () => void): void;
  /** Begins anew: `lines` end as those of a command that has no terminal, in LF alone. */
  reset(lines: 'of a terminal' | 'of a command'): void;
  focus(): void;
  readAloud(on: boolean): void;
}

export interface ViewEars {
  onType(bytes: Uint8Array): void;
  onSize(size: { cols: number; rows: number }): void;
  /** The keyboard wants to go elsewhere. */
  onLeave(): void;
}

const names = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'] as const;
const scrollback = 10_000;
/** Of the page's sentence that tells how to leave, read when the terminal is entered. */
const hintId = 'terminal-hint';

export function openView(place: HTMLElement, ears: ViewEars, { readAloud }: { readAloud: boolean }): TerminalView {
  const style = getComputedStyle(place);
  const terminal = new Terminal({
    fontFamily: style.fontFamily,
    fontSize: parseFloat(style.fontSize),
    scrollback,
    minimumContrastRatio: 4.5,
    screenReaderMode: readAloud,
    theme: themeOf(place),
    allowProposedApi: true, // for the widths
  });
  terminal.unicode.register(cellWidths);
  terminal.unicode.activeVersion = cellWidths.version;
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(place);
  terminal.textarea?.setAttribute('aria-describedby', hintId);
  fit.fit();
  const encoder = new TextEncoder();
  terminal.onData((text) => ears.onType(encoder.encode(text)));
  terminal.onBinary((text) => ears.onType(Uint8Array.from(text, (char) => char.charCodeAt(0))));
  terminal.onResize(({ cols, rows }) => ears.onSize({ cols, rows }));
  terminal.attachCustomKeyEventHandler((event) => event.type !== 'keydown' || !ownKey(event, terminal, ears));
  new ResizeObserver(oncePerFrame(() => fit.fit())).observe(place);
  followTheme(() => (terminal.options.theme = themeOf(place)));
  return {
    get size() {
      return { cols: terminal.cols, rows: terminal.rows };
    },
    write: (bytes, done) => terminal.write(bytes, done),
    reset(lines) {
      terminal.reset();
      terminal.options.convertEol = lines === 'of a command';
    },
    focus: () => terminal.focus(),
    readAloud: (on) => (terminal.options.screenReaderMode = on),
  };
}

/** Keys that do not go to the shell; true when it was one. */
function ownKey(event: KeyboardEvent, terminal: Terminal, { onLeave }: ViewEars): boolean {
  const { key, shiftKey, ctrlKey, altKey, metaKey } = event;
  if (key === 'F6' && shiftKey && !ctrlKey && !altKey) {
    event.preventDefault();
    onLeave();
    return true;
  }
  const copies = ctrlKey && !altKey && !metaKey && key.toLowerCase() === 'c' && terminal.hasSelection();
  if (copies) {
    event.preventDefault();
    void navigator.clipboard.writeText(terminal.getSelection()).then(() => terminal.clearSelection());
    return true;
  }
  return ctrlKey && shiftKey && key.toLowerCase() === 'v'; // the browser pastes
}

/** The colours of logs, as they are under the present theme. */
function themeOf(place: HTMLElement): Record<string, string> {
  const probe = document.createElement('span');
  place.append(probe);
  const colour = (name: string): string => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const ansi = names.flatMap((name, at) => [
    [name, colour(`c${at}`)],
    [`bright${name[0]?.toUpperCase()}${name.slice(1)}`, colour(`c${at + 8}`)],
  ]);
  const theme = { background: colour('sunken'), foreground: colour('text'), cursor: colour('text'), cursorAccent: colour('sunken') };
  const all = {
    ...(Object.fromEntries(ansi) as Record<string, string>),
    ...theme,
    selectionBackground: colour('mark'),
    selectionForeground: colour('text'),
  };
  probe.remove();
  return all;
}

function followTheme(changed: () => void): void {
  new MutationObserver(changed).observe(document.documentElement, { attributeFilter: ['data-theme'] });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);
}
