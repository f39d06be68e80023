/** The grid: commits × builders of one branch. Pure functions of what the coordinator tells. */
import { html, raw } from 'hono/html';
import type { BuildSummary, CommitView, Farm, Grid } from '@croft/protocol/api';
import { formatDuration, formatInstant } from '@croft/web/html/format';
import { bdi, instant, plain, plural, progress, span, type Html } from '@croft/web/html/markup';
import { badge, glyph, lookOfBuild, looks, word, type Look } from '@croft/web/html/state';
import { notice } from '@croft/web/html/document';
import { firstSteps, lacksSomething } from './first-steps.ts';
import { builderUrl, commitUrl } from './list-table.ts';

export interface GridView {
  readonly grid: Grid;
  readonly farm: Farm;
  readonly now: number;
}

/** From this many builders on, cells show shapes alone and the builders' names stand upright. */
const denseFrom = 13;

export function gridPage(view: GridView): Html {
  const { grid } = view;
  if (grid.repos.length === 0) return gridFragment(view);
  return html`<h1 class="unseen">Builds of ${bdi(grid.repo)}, ${bdi(grid.branch)}</h1>
<div class="bar">${choosers(grid)}${legend()}</div>
${gridFragment(view)}`;
}

/** What changes while one looks. */
export function gridFragment(view: GridView): Html {
  const { grid } = view;
  const address = grid.repos.length === 0 ? '/' : pageUrl(grid, grid.page);
  return html`<div id="grid" class="live" data-live="build commits farm" ${grid.repo === '' ? '' : html`data-repo="${grid.repo}"`} hx-get="${address}" hx-trigger="croft:changed" hx-ext="morph" hx-swap="morph">
${notices(view)}
${lacksSomething(view) ? firstSteps(view) : ''}${grid.rows.length > 0 && grid.builders.length > 0 ? table(view) : grid.page > 0 ? html`<p class="nothing">There are no older commits.</p>` : ''}${grid.rows.length > 0 || grid.page > 0 ? pager(grid) : ''}
</div>`;
}

export function gridTitle({ repo, branch, repos }: Grid): string {
  return repos.length === 0 ? 'Welcome' : `${repo} ${branch}`;
}

function pageUrl({ repo, branch }: Grid, page: number): string {
  const query = new URLSearchParams({ repo, branch, ...(page > 0 ? { page: String(page) } : {}) });
  return `/?${query.toString()}`;
}

function choosers(grid: Grid): Html {
  return html`<form class="choose" method="get" action="/">
  ${chooser({ name: 'repo', label: 'Repository', values: grid.repos, chosen: grid.repo })}
  ${chooser({ name: 'branch', label: 'Branch', values: grid.branches, chosen: grid.branch })}
  <button class="quiet">Show</button>
</form>`;
}

interface Choice {
  readonly name: string;
  readonly label: string;
  readonly values: readonly string[];
  readonly chosen: string;
}

function chooser({ name, label, values, chosen }: Choice): Html {
  const options = values.includes(chosen) ? values : [chosen, ...values];
  return html`<label><span>${label}</span> <select name="${name}">${options.map(
    (value) => html`<option value="${value}" ${value === chosen ? raw('selected') : ''}>${plain(value)}</option>`,
  )}</select></label>`;
}

function legend(): Html {
  return html`<ul class="legend" aria-label="Legend">${looks.filter((look) => look !== 'cancelling').map((look) => html`<li>${badge(look)}</li>`)}</ul>`;
}

function notices({ grid, farm }: GridView): Html {
  const failed = farm.repos.find(({ name, error }) => name === grid.repo && error !== undefined);
  return html`${farm.hold ? notice('warning', bdi(farm.hold)) : ''}${
    failed
      ? notice(
          'error',
          html`The last look for commits of ${bdi(failed.name)}: ${bdi(failed.error ?? '')}. <a href="/farm#repositories">Repositories</a>`,
        )
      : ''
  }`;
}

function table({ grid, now }: GridView): Html {
  const dense = grid.builders.length >= denseFrom;
  return html`<div class="grid-box" id="grid-box" role="region" aria-label="Builds by commit and builder" tabindex="0">
<table class="grid ${dense ? 'dense' : ''}">
<thead><tr><th scope="col" class="commit">Commit</th>${grid.builders.map((builder) => html`<th scope="col" class="builder" title="${plain(builder)}"><a href="${builderUrl(builder)}">${bdi(builder)}</a></th>`)}</tr></thead>
<tbody>
${grid.rows.map(
  ({ commit, cells }) => html`<tr id="r-${commit.revision}">${commitHead(commit, now)}${cells.map((build) => cell(build, now, dense))}</tr>
`,
)}</tbody>
</table></div>`;
}

function commitHead(commit: CommitView, now: number): Html {
  const author = commit.authorEmail === '' ? commit.authorName : `${commit.authorName} <${commit.authorEmail}>`;
  return html`<th scope="row" class="commit"><div><a href="${commitUrl(commit)}"><code title="${commit.revision}">${commit.revision.slice(0, 7)}</code></a><span class="subject" title="${plain(commit.subject)}">${bdi(commit.subject)}</span><span class="author" title="${plain(author)}">${bdi(commit.authorName)}</span>${instant(commit.committedAt, now)}</div></th>`;
}

function cell(build: BuildSummary | null, now: number, dense: boolean): Html {
  if (!build) return html`<td class="none"><span title="nothing to build here">·</span></td>`;
  const look = lookOfBuild(build);
  const tries = build.attempts > 1 ? html`<small title="${build.attempts} attempts">×${build.attempts}</small>` : '';
  const known = build.knownIssues ? html`<small class="known" title="a known issue">known</small>` : '';
  return html`<td><a class="cell ${look}${known ? ' muted' : ''}" id="c-${build.id}" href="${build.url}" title="${cellTitle(build, look)}">${glyph(look)}<span class="unseen">${word(look)}${known ? ', a known issue' : ''} </span>${
    dense
      ? ''
      : html`<span class="took">${took(build, look, now)}</span>${tries}${known}${look === 'running' && build.startedAt !== undefined ? progress(build.startedAt, build.expectedEndAt, now) : ''}`
  }</a></td>`;
}

function took(build: BuildSummary, look: Look, now: number): Html | string {
  if (look === 'queued') return build.wait ? html`<span class="num">#${build.wait.position + 1}</span>` : '';
  if (build.startedAt === undefined) return '';
  return span(build.startedAt, build.state === 'ended' ? (build.endedAt ?? build.since) : undefined, now);
}

function cellTitle(build: BuildSummary, look: Look): string {
  const parts = [`${build.builder}: ${word(look)}`];
  if (build.end?.kind === 'failed' || build.end?.kind === 'timed-out') parts.push(`in ${build.end.step}: ${build.end.text}`);
  if (build.end?.kind === 'infra') parts.push(`${build.end.cause}: ${build.end.evidence}`);
  if (build.end?.kind === 'cancelled') parts.push(`by ${build.end.by}: ${build.end.why}`);
  if (build.knownIssues) parts.push(`known: ${build.knownIssues.join(' ')}`);
  if (build.wait) parts.push(build.wait.text);
  if (build.startedAt !== undefined && build.endedAt !== undefined)
    parts.push(`${formatDuration(build.endedAt - build.startedAt)}, ended ${formatInstant(build.endedAt)}`);
  return plain(parts.join('\n').slice(0, 500)).replaceAll('\n', ' · ');
}

function pager(grid: Grid): Html {
  const newer =
    grid.page > 0
      ? html`<a rel="prev" href="${pageUrl(grid, grid.page - 1)}">← Newer</a>`
      : html`<span aria-disabled="true">← Newer</span>`;
  const older = grid.older
    ? html`<a rel="next" href="${pageUrl(grid, grid.page + 1)}">Older →</a>`
    : html`<span aria-disabled="true">Older →</span>`;
  const latest = grid.page > 1 ? html`<a href="${pageUrl(grid, 0)}">Latest</a>` : '';
  return html`<nav class="pager" aria-label="Pages">${newer}${latest}<span>page ${grid.page + 1} · ${plural(grid.rows.length, 'commit')} · ${plural(grid.builders.length, 'builder')}</span>${older}</nav>`;
}
