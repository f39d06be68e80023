/** The audit trail: who asked for which change, to what, from where, the newest first. */
import { html } from 'hono/html';
import { bdi, instant, type Html } from '@croft/web/html/markup';
import { listTable, section } from './list-table.ts';

export interface AuditView {
  readonly entries: readonly {
    readonly id: number;
    readonly at: number;
    readonly who: string;
    readonly what: string;
    readonly target: string;
    readonly from: string;
  }[];
  /** Where the next page begins. */
  readonly next?: number | undefined;
  readonly first: boolean;
  readonly now: number;
}

export function auditPage({ entries, next, first, now }: AuditView): Html {
  const rows = entries.map(({ at, who, what, target, from }) => [
    instant(at, now),
    bdi(who),
    html`<span class="${what.endsWith(' refused') ? 'warn' : ''}">${bdi(what)}</span>`,
    /^B[0-9a-f]{16}$/.test(target) ? html`<a href="/builds/${target}"><code>${target}</code></a>` : bdi(target),
    bdi(from),
  ]);
  const newer = first ? html`<span aria-disabled="true">← Newest</span>` : html`<a rel="prev" href="/audit">← Newest</a>`;
  const older =
    next === undefined ? html`<span aria-disabled="true">Older →</span>` : html`<a rel="next" href="/audit?before=${next}">Older →</a>`;
  return html`<div class="farm"><h1 class="unseen">Audit</h1>
${section('Audit', entries.length, [listTable(['When', 'Who', 'What', 'To', 'From'], rows, 'Audit trail'), 'Nobody has changed anything yet. Cancelling, retrying, tokens and what was refused are recorded here.'])}
<nav class="pager" aria-label="Pages">${newer}${older}</nav></div>`;
}
