/**
 * Follows the farm's changes and lets the fragments they touch fetch themselves again, each at most once a second, the last
 * change never missed. Our own lines instead of htmx's extension: its filters need `eval`, its throttle drops the last
 * event, and it holds a connection for every hidden tab, of which a browser allows six.
 */
import type { Change } from '@croft/protocol/api';
import { after, atMostEvery } from './browser-clock.ts';

const refreshMs = 1000;

/**
 * A fragment says what it shows: `data-live="build commits"`, and may narrow it by `data-build`, `data-session` and `data-repo`. It fetches
 * itself on the event `croft:changed`; when it then needs what the page lacks (`data-needs`), the whole page is loaded.
 */
export function startLive(): void {
  const url = document.body.dataset['events'];
  if (!url) return;
  const refreshers = new Map<string, () => void>();
  const refresh = (element: HTMLElement): void => {
    const { id } = element;
    if (!refreshers.has(id))
      refreshers.set(
        id,
        atMostEvery(refreshMs, () => document.getElementById(id)?.dispatchEvent(new CustomEvent('croft:changed'))),
      );
    refreshers.get(id)?.();
  };
  document.addEventListener('htmx:afterSettle', () => {
    const needs = document.querySelector<HTMLElement>('[data-needs]')?.dataset['needs'];
    if (needs !== undefined && !document.querySelector(needs)) return location.reload();
    document.title = document.querySelector<HTMLElement>('[data-title]')?.dataset['title'] ?? document.title;
  });
  const refreshAll = (): void => fragments().forEach(refresh);
  keepConnected(url, {
    onOpen: refreshAll,
    onChange: (change) =>
      fragments()
        .filter((element) => concerns(element.dataset, change))
        .forEach(refresh),
  });
}

function fragments(): HTMLElement[] {
  return [...document.querySelectorAll<HTMLElement>('[data-live]')];
}

function concerns({ live, build, session, repo }: DOMStringMap, change: Change): boolean {
  if (!live?.split(' ').includes(change.kind)) return false;
  if (session !== undefined && change.kind === 'session' && change.id !== session) return false;
  if (build !== undefined && change.kind === 'build' && change.id !== build) return false;
  return repo === undefined || change.kind !== 'commits' || change.repo === repo;
}

interface Ears {
  /** Connected, for the first time since the page was rendered, or again: changes may have been missed. */
  onOpen(): void;
  onChange(change: Change): void;
}

/** Connected while the page is visible; says so in the header when the line is down. */
function keepConnected(url: string, { onOpen, onChange }: Ears): void {
  let source: EventSource | undefined;
  const line = document.querySelector<HTMLElement>('#line');
  const connect = (): void => {
    source?.close();
    source = undefined;
    if (document.hidden) return;
    const mine = new EventSource(url);
    source = mine;
    mine.addEventListener('open', () => {
      if (line) line.hidden = true;
      onOpen();
    });
    mine.addEventListener('error', () => {
      if (line) line.hidden = false;
      // A refused connection is given up by the browser; try again until the page is left.
      if (mine.readyState === EventSource.CLOSED) after(3000, () => source === mine && connect());
    });
    mine.addEventListener('change', ({ data }: MessageEvent<string>) => onChange(JSON.parse(data) as Change));
  };
  document.addEventListener('visibilitychange', connect);
  connect();
}
