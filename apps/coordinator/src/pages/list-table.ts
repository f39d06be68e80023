/** What lists on several pages are made of. */
import { html } from 'hono/html';
import type { BuildSummary, CommitView } from '@croft/protocol/api';
import { formatInstant } from '@croft/web/html/format';
import { bdi, instant, plain, span, type Html } from '@croft/web/html/markup';
import { badge, glyph, lookOfBuild, word } from '@croft/web/html/state';
import { browseSize } from '../browse/browse.ts';

/** A table that becomes a list of cards where it is narrow; the heads are repeated there by `data-head`. */
export function listTable(heads: readonly string[], rows: readonly (readonly (Html | string)[])[], label: string): Html {
  return html`<table class="list" aria-label="${label}"><thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead><tbody>
${rows.map(
  (
    cells,
  ) => html`<tr>${cells.map((cell, at) => (at === 0 ? html`<th scope="row">${cell}</th>` : html`<td data-head="${heads[at] ?? ''}"><div>${cell}</div></td>`))}</tr>
`,
)}</tbody></table>`;
}

export function section(title: string, count: number, [filled, empty]: readonly [Html, Html | string]): Html {
  const id = title.toLowerCase().replaceAll(' ', '-');
  return html`<section aria-labelledby="${id}"><h2 id="${id}">${title} <small>${count}</small></h2>${
    count === 0 ? html`<p class="nothing">${empty}</p>` : filled
  }</section>`;
}

export function repoUrl(repo: string): string {
  return `/repos/${encodeURIComponent(repo)}`;
}

export function commitUrl({ repo, revision }: { readonly repo: string; readonly revision: string }): string {
  return `${repoUrl(repo)}/commits/${encodeURIComponent(revision)}`;
}

export function builderUrl(builder: string): string {
  return `/builders/${encodeURIComponent(builder)}`;
}

export function gridUrl(repo: string, branch: string): string {
  return `/?${new URLSearchParams({ repo, branch }).toString()}`;
}

export function commitLink(commit: CommitView): Html {
  return html`<a href="${commitUrl(commit)}"><code>${commit.revision.slice(0, 7)}</code></a> ${bdi(commit.subject)}`;
}

interface ListPage {
  readonly page: number;
  readonly total: number;
  /** Of a page. */
  readonly size?: number;
}

/** Between pages of a list; nothing where there is but one. */
export function listPager(path: string, { page, total, size = browseSize }: ListPage): Html {
  const last = Math.max(0, Math.ceil(total / size) - 1);
  if (last === 0 && page === 0) return html``;
  const link = (to: number, rel: string, text: string): Html =>
    to >= 0 && to <= last
      ? html`<a rel="${rel}" href="${pageAddress(path, to)}">${text}</a>`
      : html`<span aria-disabled="true">${text}</span>`;
  return html`<nav class="pager" aria-label="Pages">${link(page - 1, 'prev', '← Before')}<span>page ${page + 1} of ${last + 1}</span>${link(page + 1, 'next', 'After →')}</nav>`;
}

export function pageAddress(path: string, page: number): string {
  return page === 0 ? path : `${path}${path.includes('?') ? '&' : '?'}page=${page}`;
}

/** State, in words, as a link to the build. */
export function stateLink(build: BuildSummary): Html {
  return html`<a href="${build.url}">${badge(lookOfBuild(build))}</a>`;
}

/** How long it took, or what it does now. */
export function timeOf(build: BuildSummary, now: number): Html | string {
  if (build.startedAt === undefined) return build.wait ? bdi(build.wait.text) : '';
  return span(build.startedAt, build.state === 'ended' ? (build.endedAt ?? build.since) : undefined, now);
}

export function endedAt(build: BuildSummary, now: number): Html {
  return build.state === 'ended' ? instant(build.endedAt ?? build.since, now) : html`<span class="dim">–</span>`;
}

/** Ends in a row, the newest at the right: shape, and the rest in a title. */
export function strip(builds: readonly BuildSummary[], label: string): Html {
  return html`<ol class="strip" aria-label="${label}">${builds.toReversed().map((build) => {
    const look = lookOfBuild(build);
    const title = `${build.builder} at ${build.revision.slice(0, 7)}: ${word(look)}, ${formatInstant(build.endedAt ?? build.since)}`;
    return html`<li><a class="mark ${look}" href="${build.url}" title="${plain(title)}">${glyph(look)}<span class="unseen">${word(look)}</span></a></li>`;
  })}</ol>`;
}
