/** What a farm needs before it can show a build, what of it is there, and what to do next: the page of a farm that is new. */
import { html } from 'hono/html';
import type { Farm, Grid } from '@croft/protocol/api';
import { bdi, instant, plain, type Html } from '@croft/web/html/markup';
import { badge } from '@croft/web/html/state';

export interface FirstStepsView {
  readonly grid: Grid;
  readonly farm: Farm;
  readonly now: number;
}

interface Step {
  readonly name: string;
  readonly done: boolean;
  /** What is so, or what to do. */
  readonly text: Html;
}

/** Whether something is missing without which nothing will ever be built. */
export function lacksSomething({ grid, farm }: Pick<FirstStepsView, 'grid' | 'farm'>): boolean {
  return mayLackSomething(grid) && (isEmpty(grid) || isWithoutMachines(farm));
}

function isWithoutMachines({ machineCounts: { ready, busy, away } }: Farm): boolean {
  return ready + busy + away === 0;
}

/** Whether the machines must be known to say so. */
export function mayLackSomething(grid: FirstStepsView['grid']): boolean {
  if (grid.page > 0) return false;
  return isEmpty(grid) || !grid.rows.some(({ cells }) => cells.some((build) => build && build.attempts > 0));
}

function isEmpty({ repos, rows, builders }: FirstStepsView['grid']): boolean {
  return repos.length === 0 || rows.length === 0 || builders.length === 0;
}

export function firstSteps(view: FirstStepsView): Html {
  const steps = stepsOf(view);
  const next = steps.findIndex(({ done }) => !done);
  return html`<section class="empty first"><h1>${view.grid.repos.length === 0 ? 'This farm has no repository yet' : html`Nothing of ${bdi(view.grid.repo)} is built yet`}</h1>
<p>A farm builds when it has four things. What appears here does so by itself.</p>
<ol>${steps.map(
    ({ name, done, text }, at) =>
      html`<li ${at === next ? html`aria-current="step"` : ''}>${badge(done ? 'passed' : 'queued', name)}<span class="unseen">${done ? ' (is there)' : ' (is missing)'}</span><div>${text}</div></li>`,
  )}</ol></section>`;
}

function stepsOf({ grid, farm, now }: FirstStepsView): Step[] {
  const { repo, repos, builders, rows } = grid;
  const source = farm.repos.find(({ name }) => name === repo);
  const looked = source?.lastFetchAt;
  const up = farm.machineCounts.ready + farm.machineCounts.busy;
  return [
    {
      name: 'A repository',
      done: repos.length > 0,
      text: repos.length > 0 ? html`${bdi(repo)}${source ? html`, from ${bdi(source.url)}` : ''}` : html`${sample()}`,
    },
    {
      name: 'A commit',
      done: rows.length > 0,
      text: commitText({ repo, found: rows.length > 0, error: source?.error }, looked === undefined ? undefined : instant(looked, now)),
    },
    {
      name: 'A builder',
      done: builders.length > 0,
      text:
        builders.length > 0
          ? html`${bdi(builders.slice(0, 5).join(', '))}${builders.length > 5 ? ', …' : ''}`
          : html`Says what is run for each commit. In the configuration: <code>builders: [{ name: 'unit', repo: '${plain(repo || 'app')}', steps: 'detect' }]</code>`,
    },
    {
      name: 'A machine',
      done: up > 0,
      text:
        up > 0
          ? html`${up} ready, on the page <a href="/farm">Farm</a>`
          : !isWithoutMachines(farm)
            ? html`Those that are known are away: the page <a href="/farm">Farm</a> says why.`
            : html`Where it runs. In the configuration, for this machine: <code>pools: [{ kind: 'local', size: 2 }]</code>`,
    },
  ];
}

function sample(): Html {
  return html`To farm one at once:<pre><code>npm start -- --repo PATH_OR_URL</code></pre>Or write it into the configuration: <code>repos: [{ name: 'app', url: 'https://…' }]</code>`;
}

interface Found {
  readonly repo: string;
  readonly found: boolean;
  readonly error: string | undefined;
}

function commitText({ repo, found, error }: Found, looked: Html | undefined): Html {
  if (found) return html`The newest are found by themselves.`;
  if (repo === '') return html`The newest of each branch, found by themselves.`;
  if (error !== undefined) return html`The last look failed: ${bdi(error)}`;
  const again = html`To make it look at once: <code>croft notify ${plain(repo)}</code>`;
  return looked ? html`The farm looked ${looked} and found none. ${again}` : html`The farm has not looked into it yet. ${again}`;
}
