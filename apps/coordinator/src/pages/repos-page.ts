/** Repositories, and one of them: its branches, each with its newest commit and how that stands. */
import { html } from 'hono/html';
import type { Farm } from '@croft/protocol/api';
import { bdi, instant, plain, plural, type Html } from '@croft/web/html/markup';
import { badge } from '@croft/web/html/state';
import type { BranchTip, Paged, RepoDetail, RepoOverview } from '../browse/browse.ts';
import { builderUrl, commitLink, gridUrl, listPager, listTable, pageAddress, repoUrl, section, strip } from './list-table.ts';

type Source = Farm['repos'][number];

export interface ReposView {
  readonly repos: Paged<RepoOverview>;
  readonly sources: readonly Source[];
  readonly now: number;
}

export function reposPage({ repos, sources, now }: ReposView): Html {
  const rows = repos.rows.map(({ name, branches, tip }) => {
    const source = sources.find((candidate) => candidate.name === name);
    return [
      html`<a href="${repoUrl(name)}">${bdi(name)}</a>`,
      tip
        ? html`${commitLink(tip.commit)} <span class="dim">${instant(tip.commit.committedAt, now)}</span>`
        : html`<span class="dim">nothing found yet</span>`,
      tip ? strip(tip.builds.toReversed(), `Builds of the newest commit of ${plain(name)}`) : '',
      plural(branches, 'branch', 'branches'),
      health(source, now),
    ];
  });
  const table = listTable(['Repository', 'Newest commit', 'Its builds', 'Branches', 'Last look'], rows, 'Repositories');
  const none = html`The farm has no repository yet: <a href="/">how to begin</a>.`;
  return html`<div id="repos" class="live farm" data-live="build commits farm" hx-get="${pageAddress('/repos', repos.page)}" hx-trigger="croft:changed" hx-ext="morph" hx-swap="morph">
<h1 class="unseen">Repositories</h1>
${section('Repositories', repos.total, [html`${table}${listPager('/repos', repos)}`, none])}
</div>`;
}

function health(source: Source | undefined, now: number): Html {
  if (!source) return html`<span class="dim">not configured any more</span>`;
  if (source.error !== undefined) return html`${badge('infra', 'error')} ${bdi(source.error)}`;
  return source.lastFetchAt === undefined ? html`<span class="dim">not looked at yet</span>` : instant(source.lastFetchAt, now);
}

export interface RepoView {
  readonly repo: RepoDetail;
  readonly source: Source | undefined;
  readonly now: number;
}

export function repoPage({ repo, source, now }: RepoView): Html {
  const { name, branches, more, builders } = repo;
  const rows = branches.map(({ branch, commit, builds }: BranchTip) => [
    html`<a href="${gridUrl(name, branch)}">${bdi(branch)}</a>${branch === repo.defaultBranch ? html` <span class="label">default</span>` : ''}`,
    commitLink(commit),
    html`${bdi(commit.authorName)}, ${instant(commit.committedAt, now)}`,
    builds.length === 0
      ? html`<span class="dim">none</span>`
      : strip(builds.toReversed(), `Builds of the newest commit on ${plain(branch)}`),
  ]);
  const table = html`${listTable(['Branch', 'Newest commit', 'By', 'Its builds'], rows, 'Branches')}${more > 0 ? html`<p class="nothing">and ${plural(more, 'more branch', 'more branches')}; the grid shows each</p>` : ''}`;
  return html`<div id="repo" class="live farm" data-live="build commits farm" data-repo="${name}" hx-get="${repoUrl(name)}" hx-trigger="croft:changed" hx-ext="morph" hx-swap="morph">
<header class="head"><h1>${bdi(name)}</h1>
<ul class="meta">${source ? html`<li>from ${bdi(source.url)}</li><li>looked at ${health(source, now)}</li>` : html`<li>${health(source, now)}</li>`}<li><a href="/?${new URLSearchParams({ repo: name }).toString()}">grid</a></li></ul></header>
${section('Branches', branches.length, [table, 'No commit has been found yet.'])}
${section('Builders', builders.length, [html`<ul class="names">${builders.map((builder) => html`<li><a href="${builderUrl(builder)}">${bdi(builder)}</a></li>`)}</ul>`, 'No builder builds this repository. Name it in a builder of the configuration.'])}
</div>`;
}
