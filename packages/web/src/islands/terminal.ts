/**
 * What a session's page loads: uploads, and the terminal: a line, its view, and the tools above them. Which shell a tab shows is kept in the tab, so that it is
 * the same after the page was loaded again.
 */
import type { Exit } from '@croft/domain/outcome';
import { after } from './browser-clock.ts';
import { TerminalLine, type LineEars, type LineWorld } from './terminal-line.ts';
import { startUploads } from './uploads.ts';
import { openView, type TerminalView } from './terminal-view.ts';

const readAloudKey = 'croft-terminal-aloud';

/** What the page has of it. */
interface Panel {
  readonly element: HTMLElement;
  readonly state: HTMLElement;
  readonly screen: HTMLElement;
  readonly fresh: HTMLButtonElement;
  readonly close: HTMLButtonElement;
  readonly aloud: HTMLInputElement;
  /** Leads past the terminal. */
  readonly past: HTMLElement;
}

const found = document.querySelector<HTMLElement>('#terminal');
if (found) start(partsOf(found));
startUploads();

function partsOf(element: HTMLElement): Panel {
  const part = <E extends HTMLElement>(name: string): E => {
    const one = element.querySelector<E>(`[data-part="${name}"]`);
    if (!one) throw new Error(`the terminal has no ${name}`);
    return one;
  };
  const [state, screen, aloud, past] = [part('state'), part('screen'), part<HTMLInputElement>('aloud'), part('past')];
  return { element, state, screen, aloud, past, fresh: part('new'), close: part('close') };
}

function start(panel: Panel): void {
  const { element, screen, fresh, close, aloud, past } = panel;
  const tabKey = `croft-shell-${element.dataset['session']}`;
  element.classList.add('open');
  aloud.checked = localStorage.getItem(readAloudKey) === '1';
  const replay = { upTo: 0 };
  const view = openView(
    screen,
    {
      // What is shown again asks its questions again: the answers would be typed a second time.
      onType: (bytes) => replay.upTo > 0 || line.type(bytes),
      onSize: (size) => line.resize(size),
      onLeave: () => past.focus(),
    },
    { readAloud: aloud.checked },
  );
  const ears = earsOf(panel, { view, tabKey, replay, seen: (upTo) => line.seen(upTo) });
  const run = element.dataset['run'] ?? sessionStorage.getItem(tabKey) ?? undefined;
  const line = new TerminalLine(worldOf(element), ears, { ...view.size, run });
  const attach = (to: string): void => {
    view.reset('of a terminal'); // else what the last program had switched on, such as telling of focus, is typed into this one
    line.attach(to);
    view.focus();
  };
  fresh.addEventListener('click', () => attach('new'));
  close.addEventListener('click', () => line.hangUp());
  aloud.addEventListener('change', () => {
    localStorage.setItem(readAloudKey, aloud.checked ? '1' : '0');
    view.readAloud(aloud.checked);
  });
  document.addEventListener('click', (event) => attachHere(event, attach));
  addEventListener('online', () => line.retry());
  document.addEventListener('visibilitychange', () => line.retry());
}

interface Shown {
  readonly view: TerminalView;
  readonly tabKey: string;
  /** Below this, what comes was there before; 0 when all of that was drawn. */
  readonly replay: { upTo: number };
  seen(upTo: number): void;
}

function earsOf({ state, close }: Panel, { view, tabKey, replay, seen }: Shown): LineEars {
  const tell = (text: string): void => {
    state.textContent = text;
  };
  const over = (text: string): void => {
    tell(text);
    sessionStorage.removeItem(tabKey);
    close.disabled = true;
    document.body.dispatchEvent(new CustomEvent('croft:runs'));
  };
  return {
    onAttached({ run, from, length }, continues) {
      sessionStorage.setItem(tabKey, run);
      close.disabled = !run.startsWith('sh-');
      document.body.dispatchEvent(new CustomEvent('croft:runs'));
      if (continues) return;
      view.reset(run.startsWith('sh-') ? 'of a terminal' : 'of a command');
      replay.upTo = length > from ? length : 0;
    },
    onOutput: (bytes, upTo) =>
      view.write(bytes, () => {
        if (upTo >= replay.upTo) replay.upTo = 0;
        seen(upTo);
      }),
    onGap: () => view.write('\r\n\x1b[7m some output was not kept \x1b[m\r\n'),
    onState: (to) => tell({ connecting: 'connecting …', connected: 'connected', broken: 'connection lost, trying again …' }[to]),
    onEnded(exit) {
      over(`ended: ${exitText(exit)}`);
      view.write('\r\n\x1b[?25l\x1b[7m ended; New shell begins another \x1b[m');
    },
    onRefused: over,
    onFull: () => tell('not typed: nothing takes it at the moment'),
  };
}

/** A link to a run of this session shows it here; in a new tab it does by itself. */
function attachHere(event: MouseEvent, attach: (run: string) => void): void {
  const link = event.target instanceof Element ? event.target.closest<HTMLElement>('a[data-attach]') : null;
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  document.querySelector('#terminal')?.scrollIntoView({ block: 'nearest' });
  attach(link.dataset['attach'] ?? 'new');
}

function worldOf({ dataset: { url = '' } }: HTMLElement): LineWorld {
  return {
    connect(query, ears) {
      const address = new URL(`${url}?${query.toString()}`, location.href);
      address.protocol = address.protocol.replace('http', 'ws');
      const socket = new WebSocket(address);
      socket.binaryType = 'arraybuffer';
      socket.addEventListener('message', ({ data }: MessageEvent<string | ArrayBuffer>) => ears.onMessage(data));
      socket.addEventListener('close', () => ears.onClose());
      return {
        send(data) {
          if (socket.readyState === WebSocket.OPEN) socket.send(data);
        },
        close: () => socket.close(),
      };
    },
    /** Browsers do not tell what a handshake was answered; one may ask who one is taken for. */
    async refusal() {
      try {
        const answer = await fetch('/api/v1/me', { headers: { accept: 'application/json' } });
        if (answer.ok || answer.status >= 500) return undefined;
        const { message, hint } = (await answer.json()) as { message?: string; hint?: string };
        return [message, hint].filter(Boolean).join('. ');
      } catch {
        return undefined; // not reached: the line is tried again
      }
    },
    after,
  };
}

function exitText(exit: Exit): string {
  switch (exit.kind) {
    case 'exited':
      return `exit status ${exit.code}`;
    case 'signalled':
      return exit.signal;
    default:
      return exit.reason;
  }
}
