/** Builders: what each did lately and how often it passed; and one of them with its settings and history. */
import { html } from 'hono/html';
import { formatDuration } from '@croft/web/html/format';
import { bdi, plain, plural, type Html } from '@croft/web/html/markup';
import type { BuilderDetail, BuilderOverview, Paged, SuccessRate } from '../browse/browse.ts';
import {
  builderUrl,
  commitUrl,
  endedAt,
  listPager,
  listTable,
  pageAddress,
  repoUrl,
  section,
  stateLink,
  strip,
  timeOf,
} from './list-table.ts';

export interface BuildersView {
  readonly builders: Paged<BuilderOverview>;
  readonly now: number;
}

export function buildersPage({ builders, now }: BuildersView): Html {
  const rows = builders.rows.map(({ name, repos, recent, rate, medianMs }) => [
    html`<a href="${builderUrl(name)}">${bdi(name)}</a>`,
    repoLinks(repos),
    recent.length === 0 ? html`<span class="dim">nothing yet</span>` : strip(recent, `Last builds of ${plain(name)}, the newest last`),
    rateText(rate),
    medianMs === undefined ? html`<span class="dim">unknown</span>` : formatDuration(medianMs),
    recent[0] ? endedAt(recent[0], now) : html`<span class="dim">never</span>`,
  ]);
  const table = listTable(['Builder', 'Repositories', 'Last builds', 'Passed', 'Usually takes', 'Last end'], rows, 'Builders');
  return html`<div id="builder-list" class="live farm" data-live="build farm" hx-get="${pageAddress('/builders', builders.page)}" hx-trigger="croft:changed" hx-ext="morph" hx-swap="morph">
<h1 class="unseen">Builders</h1>
${section('Builders', builders.total, [html`${table}${listPager('/builders', builders)}`, 'The configuration names no builder, so nothing is built.'])}
</div>`;
}

export interface BuilderView {
  readonly builder: BuilderDetail;
  readonly now: number;
}

export function builderPage({ builder, now }: BuilderView): Html {
  const { name, recent, rate, medianMs, waiting } = builder;
  const rows = recent.map((build) => [
    html`<a href="${commitUrl(build)}">${bdi(build.repo)} <code>${build.revision.slice(0, 7)}</code></a>`,
    stateLink(build),
    timeOf(build, now),
    endedAt(build, now),
    `${build.attempts}`,
  ]);
  const now_ = waiting.map((build) => [
    html`<a href="${commitUrl(build)}">${bdi(build.repo)} <code>${build.revision.slice(0, 7)}</code></a>`,
    stateLink(build),
    timeOf(build, now),
  ]);
  return html`<div id="builder" class="live farm" data-live="build farm" hx-get="${builderUrl(name)}" hx-trigger="croft:changed" hx-ext="morph" hx-swap="morph">
<header class="head"><h1>${bdi(name)}</h1>${settings(builder)}</header>
<dl class="facts">
<div><dt>Passed</dt><dd>${rateText(rate)}</dd></div>
<div><dt>Infrastructure</dt><dd>${rate.infra} <small>of the last ${recent.length}</small></dd></div>
<div><dt>Usually takes</dt><dd>${medianMs === undefined ? 'unknown' : formatDuration(medianMs)} <small>median of the last 20</small></dd></div>
</dl>
${recent.length > 0 ? strip(recent, 'Last builds, the newest last') : ''}
${waiting.length > 0 ? section('Now', waiting.length, [listTable(['Commit', 'State', 'For'], now_, 'Running and waiting builds'), '']) : ''}
${section('History', recent.length, [listTable(['Commit', 'State', 'Took', 'Ended', 'Attempts'], rows, 'Ended builds'), 'It has not built anything yet.'])}
</div>`;
}

function settings({ name, settings: given, steps, repos }: BuilderDetail): Html {
  const labels = given?.needs.labels ?? [];
  return html`<ul class="meta">
<li>builds ${repos.length === 0 ? 'nothing' : repoLinks(repos)}</li>
${given ? html`<li><a href="/sessions?builder=${encodeURIComponent(name)}" data-key="b" data-key-text="borrow a machine">borrow a machine</a></li>` : html`<li>not configured any more</li>`}
${given?.hostType === undefined ? '' : html`<li>on ${bdi(given.hostType)}</li>`}
${labels.length > 0 ? html`<li>needs ${labels.map((label) => html`<span class="label">${bdi(label)}</span> `)}</li>` : ''}
<li>${steps === 'detect' ? 'its command is found in each commit' : html`${steps.map(({ name, limitMs }, at) => html`${at > 0 ? ' → ' : ''}<span title="at most ${formatDuration(limitMs)}">${bdi(name)}</span>`)}`}</li>
${given && given.isolation !== 'none' ? html`<li>isolated in a ${given.isolation}</li>` : ''}
${(given?.knownIssues ?? []).map((issue) => html`<li>known issue ${issueLink(issue)}</li>`)}
</ul>`;
}

/** Whoever writes the configuration may link; anything but the web is text. */
function issueLink(address: string): Html {
  return /^https?:\/\//.test(address) ? html`<a href="${address}" rel="noopener noreferrer">${bdi(address)}</a>` : bdi(address);
}

function repoLinks(repos: readonly string[]): Html {
  return html`${repos.map((repo, at) => html`${at > 0 ? ', ' : ''}<a href="${repoUrl(repo)}">${bdi(repo)}</a>`)}`;
}

/** Of what the code itself decided. */
function rateText({ passed, failed }: SuccessRate): Html {
  const judged = passed + failed;
  if (judged === 0) return html`<span class="dim">unknown</span>`;
  const part = Math.floor((passed / judged) * 100);
  return html`<span class="rate"><svg class="line" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="failed" width="100" height="8"/><rect class="passed" width="${part}" height="8"/></svg><span class="num" title="${plural(passed, 'build')} of ${judged}">${part} %</span> <small class="dim">of ${judged}</small></span>`;
}
