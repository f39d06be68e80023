/** Ages, running durations and expected progress go on between two answers of the server. */
import { formatDuration, formatRelative } from '../html/format.ts';
import { everyWhileVisible, now } from './browser-clock.ts';

export function startTicks(): void {
  everyWhileVisible(1000, tick);
  document.addEventListener('htmx:afterSettle', tick);
}

function tick(): void {
  const at = now();
  for (const element of document.querySelectorAll<HTMLElement>('[data-at]'))
    show(element, formatRelative(Number(element.dataset['at']), at));
  for (const element of document.querySelectorAll<HTMLElement>('[data-since]'))
    show(element, formatDuration(at - Number(element.dataset['since'])));
  for (const bar of document.querySelectorAll<HTMLProgressElement>('progress[data-from]')) {
    const from = Number(bar.dataset['from']);
    bar.value = Math.min(99, Math.max(0, ((at - from) / (Number(bar.dataset['to']) - from)) * 100));
  }
}

function show(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}
