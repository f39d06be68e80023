/** One commit: what was built of it, alone or with others, and what others were built with it. */
import { html } from 'hono/html';
import { bdi, instant, plain, plural, type Html } from '@croft/web/html/markup';
import { badge, lookOfBuild, looks, type Look } from '@croft/web/html/state';
import type { BuildBeside, CommitDetail } from '../browse/browse.ts';
import { builderUrl, commitUrl, endedAt, gridUrl, listTable, repoUrl, section, stateLink, timeOf } from './list-table.ts';

export interface CommitPageView {
  readonly detail: CommitDetail;
  readonly now: number;
}

export function commitTitle({ commit }: CommitDetail): string {
  return `${commit.repo} ${commit.revision.slice(0, 7)}: ${commit.subject}`;
}

export function commitPage({ detail, now }: CommitPageView): Html {
  const { commit, builds, dependents } = detail;
  return html`<div id="commit" class="live farm" data-live="build commits" data-repo="${commit.repo}" hx-get="${commitUrl(commit)}" hx-trigger="croft:changed" hx-ext="morph" hx-swap="morph">
${head(detail, now)}
${section('Builds', builds.length, [buildTable(builds, now, 'Builds of this commit'), 'Nothing is built of this commit: no builder covers it, or a path filter leaves it out.'])}
${dependents.length > 0 ? section('Built with it', dependents.length, [dependentTable(dependents, now), '']) : ''}
</div>`;
}

function head(detail: CommitDetail, now: number): Html {
  const { commit, parents, branches, older, newer, builds } = detail;
  const author = commit.authorEmail === '' ? commit.authorName : `${commit.authorName} <${commit.authorEmail}>`;
  return html`<header class="head">
<h1><a href="${repoUrl(commit.repo)}">${bdi(commit.repo)}</a> <code title="${commit.revision}">${commit.revision.slice(0, 12)}</code> <span class="name">${bdi(commit.subject)}</span></h1>
<ul class="meta">
<li title="${plain(author)}">${bdi(commit.authorName)}</li>
<li>${instant(commit.committedAt, now)}</li>
${branches.length > 0 ? html`<li>on ${branches.slice(0, 5).map((branch, at) => html`${at > 0 ? ', ' : ''}<a href="${gridUrl(commit.repo, branch)}">${bdi(branch)}</a>`)}${branches.length > 5 ? html` and ${plural(branches.length - 5, 'more branch', 'more branches')}` : ''}</li>` : html`<li>on no branch any more</li>`}
${parents.length > 0 ? html`<li>after ${parents.map((parent, at) => html`${at > 0 ? ', ' : ''}<a href="${commitUrl({ repo: commit.repo, revision: parent })}"><code>${parent.slice(0, 7)}</code></a>`)}</li>` : ''}
</ul>
${builds.length > 0 ? tally(builds) : ''}
${(older ?? newer) ? html`<nav class="pager" aria-label="Commits of the branch">${newer ? html`<a rel="prev" data-key="p" data-key-text="newer commit" href="${commitUrl(newer)}" title="${plain(newer.subject)}">← Newer</a>` : html`<span aria-disabled="true">← Newer</span>`}${older ? html`<a rel="next" data-key="n" data-key-text="older commit" href="${commitUrl(older)}" title="${plain(older.subject)}">Older →</a>` : html`<span aria-disabled="true">Older →</span>`}</nav>` : ''}
</header>`;
}

/** How many ended in which way, those that need somebody first. */
function tally(builds: readonly BuildBeside[]): Html {
  const counts = new Map<Look, number>();
  for (const { build } of builds) counts.set(lookOfBuild(build), (counts.get(lookOfBuild(build)) ?? 0) + 1);
  const order = looks.toSorted((a, b) => Number(a === 'passed') - Number(b === 'passed'));
  return html`<ul class="tally" aria-label="In short">${order.flatMap((look) => (counts.has(look) ? [html`<li>${badge(look)} <span class="num">${counts.get(look)}</span></li>`] : []))}</ul>`;
}

function buildTable(builds: readonly BuildBeside[], now: number, label: string): Html {
  const together = builds.some(({ beside }) => beside.length > 0);
  const rows = builds.map(({ build, beside }) => [
    html`<a href="${builderUrl(build.builder)}">${bdi(build.builder)}</a>`,
    stateLink(build),
    ...(together ? [besideText(beside)] : []),
    timeOf(build, now),
    endedAt(build, now),
    `${build.attempts}`,
    build.trigger.kind === 'branch'
      ? 'on a branch'
      : build.trigger.kind === 'change'
        ? 'proposed'
        : html`asked for by ${bdi(build.trigger.ref)}`,
  ]);
  return listTable(['Builder', 'State', ...(together ? ['Together with'] : []), 'Took', 'Ended', 'Attempts', 'Because'], rows, label);
}

function besideText(beside: BuildBeside['beside']): Html | string {
  if (beside.length === 0) return html`<span class="dim">alone</span>`;
  return html`${beside.map((other, at) => html`${at > 0 ? ', ' : ''}<a href="${commitUrl(other)}">${bdi(other.repo)} <code>${other.revision.slice(0, 7)}</code></a>`)}`;
}

function dependentTable(dependents: readonly BuildBeside[], now: number): Html {
  const rows = dependents.map(({ build }) => [
    html`<a href="${commitUrl(build)}">${bdi(build.repo)} <code>${build.revision.slice(0, 7)}</code></a>`,
    html`<a href="${builderUrl(build.builder)}">${bdi(build.builder)}</a>`,
    stateLink(build),
    timeOf(build, now),
    endedAt(build, now),
  ]);
  return listTable(['Commit', 'Builder', 'State', 'Took', 'Ended'], rows, 'Builds of other repositories with this commit');
}
