/**
 * Small pieces of markup that every page uses. Names, subjects and whatever else comes from outside is escaped by `html` and
 * isolated, so that neither a tag nor a right-to-left override reaches past its own place.
 */
import { html } from 'hono/html';
import type { HtmlEscapedString } from 'hono/utils/html';
import { formatDuration, formatInstant, formatRelative, iso } from './format.ts';

export type Html = HtmlEscapedString | Promise<HtmlEscapedString>;

/** Text from outside, in its own direction. */
export function bdi(text: string, className = ''): Html {
  return className === '' ? html`<bdi>${visible(text)}</bdi>` : html`<bdi class="${className}">${visible(text)}</bdi>`;
}

/** Text from outside for an attribute or a title, where nothing can isolate it: without controls of any kind. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu, ' ').trim();
}

/** Controls as their pictures (␀), except line breaks and tabs: they would be invisible or spoil the page. */
function visible(text: string): string {
  return text.replace(/[\0-\x08\x0b-\x1f\x7f]/g, (control) =>
    control === '\x7f' ? '\u2421' : String.fromCharCode(0x2400 + control.charCodeAt(0)),
  );
}

/** `3 min ago`, kept true by the page's script; the full instant on hover. */
export function instant(at: number, now: number): Html {
  return html`<time datetime="${iso(at)}" data-at="${at}" title="${formatInstant(at)}">${formatRelative(at, now)}</time>`;
}

/** A duration; without `to` it is still going on and counts up. */
export function span(from: number, to: number | undefined, now: number): Html {
  if (to !== undefined) return html`<span class="num">${formatDuration(to - from)}</span>`;
  return html`<span class="num" data-since="${from}">${formatDuration(now - from)}</span>`;
}

/** How far something is by what was expected; says nothing when nothing is expected. */
export function progress(from: number, expectedAt: number | undefined, now: number): Html {
  if (expectedAt === undefined || expectedAt <= from) return html``;
  const part = Math.min(99, Math.max(0, Math.round(((now - from) / (expectedAt - from)) * 100)));
  return html`<progress max="100" value="${part}" data-from="${from}" data-to="${expectedAt}" aria-label="expected progress">${part} %</progress>`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
