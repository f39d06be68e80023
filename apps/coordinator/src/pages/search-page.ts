/** What a search found, by kind; each kind that has nothing is left out. */
import { html } from 'hono/html';
import { bdi, instant, plain, type Html } from '@croft/web/html/markup';
import type { Found } from '../browse/browse.ts';
import { builderUrl, commitLink, endedAt, listTable, repoUrl, section, stateLink } from './list-table.ts';

export interface SearchView {
  readonly text: string;
  readonly found: Found;
  readonly now: number;
}

export function searchTitle(text: string): string {
  return text === '' ? 'Search' : `Search: ${text}`;
}

/** Where the only thing found is, when it was named by its id or hash: nobody wants to click once more. */
export function onlyFound(text: string, { builds, commits, builders, repos }: Found): string | undefined {
  const [build, commit] = [builds[0], commits[0]];
  if (builds.length + commits.length + builders.length + repos.length !== 1) return undefined;
  if (build) return build.url;
  const named = commit?.revision.startsWith(text.trim().toLowerCase());
  return commit && named ? `${repoUrl(commit.repo)}/commits/${commit.revision}` : undefined;
}

export function searchPage({ text, found, now }: SearchView): Html {
  const { builds, commits, builders, repos } = found;
  const nothing = builds.length + commits.length + builders.length + repos.length === 0;
  return html`<div class="farm found">
<h1>${text === '' ? 'Search' : html`${nothing ? 'Nothing found' : 'Found'} for ${bdi(text)}`}</h1>
${nothing ? help() : ''}
${builds.length > 0 ? section('Builds', builds.length, [buildRows(builds, now), '']) : ''}
${commits.length > 0 ? section('Commits', commits.length, [commitRows(commits, now), '']) : ''}
${builders.length > 0 ? section('Builders', builders.length, [names(builders, builderUrl), '']) : ''}
${repos.length > 0 ? section('Repositories', repos.length, [names(repos, repoUrl), '']) : ''}
</div>`;
}

function help(): Html {
  return html`<section class="empty"><p>A search finds:</p>
<ul class="bullets"><li>a build by its id, <code>B0123…</code>, or the beginning of it</li><li>a commit by the beginning of its hash, from four digits on, or by words of its subject or its author’s name, among the newest of each repository</li><li>a builder or a repository by a part of its name</li></ul></section>`;
}

function buildRows(builds: Found['builds'], now: number): Html {
  const rows = builds.map((build) => [
    html`<a href="${build.url}"><code>${plain(build.id)}</code></a>`,
    bdi(build.builder),
    html`${bdi(build.repo)} <code>${build.revision.slice(0, 7)}</code>`,
    stateLink(build),
    endedAt(build, now),
  ]);
  return listTable(['Build', 'Builder', 'Commit', 'State', 'Ended'], rows, 'Builds');
}

function commitRows(commits: Found['commits'], now: number): Html {
  const rows = commits.map((commit) => [commitLink(commit), bdi(commit.repo), bdi(commit.authorName), instant(commit.committedAt, now)]);
  return listTable(['Commit', 'Repository', 'By', 'When'], rows, 'Commits');
}

function names(found: readonly string[], url: (name: string) => string): Html {
  return html`<ul class="names">${found.map((name) => html`<li><a href="${url(name)}">${bdi(name)}</a></li>`)}</ul>`;
}
