/** What is tried again and again: nothing is lost by it, and somebody should look. */
import { html } from 'hono/html';
import type { Trouble } from '@croft/protocol/api';
import { notice } from '@croft/web/html/document';
import { bdi, instant, type Html } from '@croft/web/html/markup';

export function troubleNotice({ what, text, since, build }: Trouble, now: number): Html {
  const where = build === undefined ? bdi(what) : html`<a href="/builds/${build}">${bdi(what)}</a>`;
  return notice('error', html`${where}: ${bdi(text)} <small>since ${instant(since, now)}</small>`);
}
