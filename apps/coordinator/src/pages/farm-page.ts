/** The farm: what it has, what that does, what waits and why, and what happens next. */
import { html } from 'hono/html';
import type { Farm, MachineList } from '@croft/protocol/api';
import { formatBytes } from '@croft/web/html/format';
import { notice } from '@croft/web/html/document';
import { bdi, instant, plain, plural, progress, span, type Html } from '@croft/web/html/markup';
import { badge, lookOfBuild } from '@croft/web/html/state';
import { listTable as table, repoUrl, section } from './list-table.ts';
import { buildLink, farmUrl, machineList, missingMachines, total, type MachinesShown } from './machine-list.ts';
import { troubleNotice } from './trouble.ts';

export interface FarmView {
  readonly farm: Farm;
  /** The machines that are shown. */
  readonly list: MachineList;
  readonly filter: MachinesShown;
  /** Whether this reader may see the configuration. */
  readonly mayConfigure?: boolean;
  /** Whether this reader may take machines out of work. */
  readonly mayTend?: boolean;
  readonly now: number;
}

export function farmPage(view: FarmView): Html {
  return html`<h1 class="unseen">Farm</h1>${farmFragment(view)}`;
}

export function farmFragment({ farm, list, filter, mayConfigure = false, mayTend = false, now }: FarmView): Html {
  return html`<div id="farm" class="live farm" data-live="farm build commits" hx-get="${farmUrl(filter)}" hx-trigger="croft:changed" hx-ext="morph" hx-swap="morph">
${farm.hold ? notice('warning', bdi(farm.hold)) : ''}
${configurationNotices(farm.config, now)}
${farm.troubles.map((trouble) => troubleNotice(trouble, now))}
${facts(farm, mayConfigure, now)}
${section('Running', farm.runningLength, [running(farm, now), 'Nothing runs at the moment.'])}
${section('Waiting', farm.queueLength, [queue(farm, now), 'Nothing waits: every commit the farm knows of has been built or is being built.'])}
${section('Machines', total(farm.machineCounts), [machineList({ list, filter, mayTend, now }), 'No machine is known. The local pool starts its own; others dial in.'])}
${missingMachines(farm, now)}
${section('Repositories', farm.repos.length, [repositories(farm, now), 'No repository. Start the farm with --repo PATH_OR_URL.'])}
</div>`;
}

/** Silent while what stands in the file holds. */
export function configurationNotices({ file, loadedAt, restart, problem }: Farm['config'], now: number): Html {
  const changed =
    restart.length === 0
      ? ''
      : notice('info', html`Changed in the configuration, and in force from the next start on: ${bdi(restart.join(', '))}.`);
  if (!problem) return html`${changed}`;
  const { at, count, mistakes } = problem;
  const rest = count - mistakes.length;
  const told = html`The configuration${file === undefined ? '' : html` ${bdi(file)}`}, changed ${instant(at, now)}, has ${plural(count, 'mistake')}. The one of ${instant(loadedAt, now)} stays in force.`;
  const list = html`<ul class="mistakes">${mistakes.map((mistake) => html`<li>${mistakeLine(mistake)}</li>`)}${rest > 0 ? html`<li>${plural(rest, 'more mistake')}</li>` : ''}</ul>`;
  return html`${notice('error', html`${told}${mistakes.length > 0 ? list : ''}`)}${changed}`;
}

function mistakeLine({ file, line, setting, message, nearest }: NonNullable<Farm['config']['problem']>['mistakes'][number]): Html {
  const place = html`<code>${bdi(line === undefined ? file : `${file}:${line}`)}</code>`;
  return html`${place}${setting === undefined ? '' : html` <b>${bdi(setting)}</b>`} ${bdi(message)}${nearest === undefined ? '' : html`; did you mean <b>${bdi(nearest)}</b>?`}`;
}

function facts(
  { machineCounts: { ready, busy, away }, runningLength, queueLength, disk, version, startedAt, config }: Farm,
  mayConfigure: boolean,
  now: number,
): Html {
  return html`<dl class="facts">
<div><dt>Running</dt><dd>${runningLength}</dd></div>
<div><dt>Waiting</dt><dd>${queueLength}</dd></div>
<div><dt>Machines</dt><dd>${ready + busy} <small>${busy} busy${away > 0 ? html`, <strong class="warn">${away} away</strong>` : ''}</small></dd></div>
<div><dt>Free disk</dt><dd>${formatBytes(disk.freeBytes)} <small>${disk.ok ? html`stops below ${formatBytes(disk.lowWaterBytes)}` : html`<strong class="warn">below ${formatBytes(disk.lowWaterBytes)}</strong>`}</small></dd></div>
<div><dt>Up</dt><dd>${span(startedAt, undefined, now)} <small>Croft ${bdi(version)}</small></dd></div>
<div><dt>Configuration</dt><dd>${mayConfigure ? html`<a href="/config">${config.environment}</a>` : config.environment} <small>loaded ${instant(config.loadedAt, now)}</small></dd></div>
</dl>`;
}

function running({ running: builds, runningLength }: Farm, now: number): Html {
  const rows = builds.map((build) => [
    buildLink(build),
    badge(lookOfBuild(build)),
    span(build.startedAt ?? build.since, undefined, now),
    build.expectedEndAt === undefined
      ? html`<span class="dim">unknown, the first of its kind</span>`
      : html`${progress(build.startedAt ?? build.since, build.expectedEndAt, now)} ${instant(build.expectedEndAt, now)}`,
    `${build.attempts}`,
  ]);
  return html`${table(['Build', 'State', 'For', 'Expected end', 'Attempt'], rows, 'Running builds')}${andMore(runningLength - builds.length)}`;
}

function queue({ queue: builds, queueLength }: Farm, now: number): Html {
  const rows = builds.map((build, at) => [
    buildLink(build),
    html`<span class="num">#${at + 1}</span>`,
    build.band,
    build.wait ? bdi(build.wait.text) : 'is being looked at',
    build.wait?.expectedAt === undefined ? html`<span class="dim">unknown</span>` : instant(build.wait.expectedAt, now),
    instant(build.since, now),
  ]);
  return html`${table(['Build', 'Place', 'Band', 'Why it waits', 'Expected start', 'Since'], rows, 'Waiting builds')}${andMore(queueLength - builds.length)}`;
}

function andMore(builds: number): Html {
  return builds > 0 ? html`<p class="nothing">and ${plural(builds, 'more build')}</p>` : html``;
}

function repositories({ repos }: Farm, now: number): Html {
  const rows = repos.map((repo) => [
    html`<a href="${repoUrl(repo.name)}">${bdi(repo.name)}</a>`,
    html`<span title="${plain(repo.url)}">${bdi(repo.url)}</span>`,
    repo.defaultBranch === undefined ? html`<span class="dim">unknown</span>` : bdi(repo.defaultBranch),
    repo.lastFetchAt === undefined ? html`<span class="dim">never</span>` : instant(repo.lastFetchAt, now),
    repo.error === undefined ? badge('passed', 'fine') : html`${badge('infra', 'error')} ${bdi(repo.error)}`,
  ]);
  return table(['Repository', 'From', 'Default branch', 'Last fetch', 'Health'], rows, 'Repositories');
}
