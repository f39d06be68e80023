/** One build: how it stands and why, its attempts, the steps of one of them, and the log. */
import { html } from 'hono/html';
import { operations } from '@croft/protocol/operations';
import type { AttemptView, BuildDetail, RoleName } from '@croft/protocol/api';
import { notice } from '@croft/web/html/document';
import { bdi, instant, plain, plural, progress, span, type Html } from '@croft/web/html/markup';
import { badge, lookOfAttempt, lookOfBuild, word } from '@croft/web/html/state';
import type { SessionView } from '@croft/protocol/sessions';
import type { ArtifactView, CacheUseView } from '@croft/protocol/artifacts';
import { artifactList, cacheList } from './artifact-list.ts';
import { endDetail } from './end-text.ts';
import { builderUrl, commitUrl, repoUrl } from './list-table.ts';
import { fateOf, lengthChooser, stateWord } from './session-parts.ts';
import { logPanel, logSource, type LogTail } from './log-panel.ts';
import { terminalPanel } from './session-page.ts';
import { stepList } from './step-list.ts';
import { troubleNotice } from './trouble.ts';

export interface BuildPageView {
  readonly build: BuildDetail;
  /** The attempt that is shown; undefined while there is none. */
  readonly attempt: AttemptView | undefined;
  /** True when the address names it: then a later attempt does not replace it. */
  readonly chosen: boolean;
  readonly tail: LogTail | undefined;
  /** Of the attempt that is shown. */
  readonly artifacts: readonly ArtifactView[];
  readonly caches: readonly CacheUseView[];
  /** That hold its machine or were made like it. */
  readonly sessions: readonly SessionView[];
  readonly who: { readonly name: string; readonly may: (role: RoleName) => boolean };
  readonly now: number;
}

export function buildPage(view: BuildPageView): Html {
  return html`${buildFragment(view)}${logPanel(view.build, view.attempt, view.tail)}`;
}

/** What changes while one looks; the log does so by itself. */
export function buildFragment(view: BuildPageView): Html {
  const { build, attempt, chosen, now } = view;
  const address = chosen && attempt ? `${build.url}?attempt=${attempt.number}` : build.url;
  return html`<div id="build" class="live build ${lookOfBuild(build)}" data-live="${build.state === 'queued' ? 'build session farm' : 'build session'}" data-build="${build.id}" data-title="${plain(buildTitle(build))} · Croft" hx-get="${address}" hx-trigger="croft:changed" hx-ext="morph" hx-swap="morph">
${head(view)}
${build.trouble ? troubleNotice(build.trouble, now) : ''}
${build.knownIssues ? notice('info', html`Its builder is known to fail: ${build.knownIssues.map((address) => html`<a href="${address}" rel="noreferrer">${bdi(address)}</a> `)}`) : ''}
${build.wait ? waiting(build.wait, build.since, now) : ''}
${heldBy(view)}
${build.attemptList.length > 1 ? attempts(view) : ''}
${attempt ? shownAttempt(attempt, view) : html`<p class="nothing">No attempt has begun. Steps and the log appear here when one does.</p>`}
${logSource(build, attempt)}
</div>`;
}

export function buildTitle(build: BuildDetail): string {
  return `${word(lookOfBuild(build))}: ${build.builder} at ${build.revision.slice(0, 7)}`;
}

function head(view: BuildPageView): Html {
  const { build, now } = view;
  const commit = build.commit;
  return html`<header class="head">
<div class="headline">
<h1>${badge(lookOfBuild(build))} <span class="name"><a href="${builderUrl(build.builder)}">${bdi(build.builder)}</a></span> <span class="at">at <a href="${repoUrl(build.repo)}">${bdi(build.repo)}</a> <a href="${commitUrl(build)}"><code title="${build.revision}">${build.revision.slice(0, 12)}</code></a></span></h1>
<div class="acts">${actions(view)}${borrowing(view)}</div>
</div>
${commit ? html`<p class="commit-line"><strong>${bdi(commit.subject)}</strong> <span class="dim">${bdi(commit.authorName)}, ${instant(commit.committedAt, now)}</span></p>` : ''}
${build.end && build.end.kind !== 'passed' ? html`<p class="end-line">${endDetail(build.end)}</p>` : ''}
<ul class="meta">
<li>${triggerText(build)}</li>
${(build.beside ?? []).map(({ repo, revision }) => html`<li>with <a href="/?${new URLSearchParams({ repo }).toString()}">${bdi(repo)}</a> <code title="${plain(revision)}">${bdi(revision.slice(0, 12))}</code></li>`)}
<li>band ${build.band}</li>
<li>${timing(build, now)}</li>
${build.attempts > 1 ? html`<li>${plural(build.attempts, 'attempt')}</li>` : ''}
${build.state === 'running' && view.who.may(operations['session.terminal'].role) ? html`<li><a href="${build.url}/terminal" data-key="t" data-key-text="a shell beside it">shell beside it</a></li>` : ''}
<li><a href="${build.url}/events" data-key="v" data-key-text="events and time line">events</a></li>
<li class="id"><code>${build.id}</code></li>
</ul>
${build.state === 'running' && build.startedAt !== undefined && build.expectedEndAt !== undefined ? html`<div class="expected">${progress(build.startedAt, build.expectedEndAt, now)}<span>expected to end ${instant(build.expectedEndAt, now)}</span></div>` : ''}
</header>`;
}

function triggerText({ trigger }: BuildDetail): Html {
  const { kind, ref } = trigger;
  if (kind === 'branch') return html`new on branch ${bdi(ref)}`;
  return kind === 'change' ? html`proposed change ${bdi(ref)}` : html`asked for by ${bdi(ref)}`;
}

function timing(build: BuildDetail, now: number): Html {
  if (build.state === 'queued') return html`waiting ${span(build.since, undefined, now)}`;
  const from = build.startedAt ?? build.since;
  if (build.state !== 'ended') return html`for ${span(from, undefined, now)}, begun ${instant(from, now)}`;
  const to = build.endedAt ?? build.since;
  return html`took ${span(from, to, now)}, ended ${instant(to, now)}`;
}

function waiting(wait: NonNullable<BuildDetail['wait']>, since: number, now: number): Html {
  return html`<section class="wait" aria-label="Why it waits"><strong>Waits: ${bdi(wait.text)}</strong>
<span>place ${wait.position + 1} among those that need the same kind of machine · ${
    wait.expectedAt === undefined ? 'expected start unknown' : html`expected to start ${instant(wait.expectedAt, now)}`
  } · since ${instant(since, now)}</span></section>`;
}

/**
 * Both ask before they act, without a script too. Kept as they are while the page renews itself, so that nothing typed is lost.
 */
function actions({ build, who }: BuildPageView): Html {
  const possible = build.state === 'ended' ? 'retry' : 'cancel';
  if (build.state === 'cancelling' || !who.may(operations[`build.${possible}`].role)) return html``;
  const form = (action: 'cancel' | 'retry', text: string, fields: Html): Html =>
    html`<details class="act" id="act-${action}" data-keep><summary data-key="${action[0]}" data-key-text="${text}">${text}…</summary>
<form method="post" action="${build.url}/${action}" hx-post="${build.url}/${action}" hx-target="#build" hx-swap="morph">${fields}<p class="dim">Recorded as done by ${bdi(who.name)}.</p></form></details>`;
  if (possible === 'retry') {
    return form(
      'retry',
      'Retry',
      html`<p>Runs all steps again as attempt ${build.attempts + 1}. What is there is kept.</p><button class="primary">Retry this build</button>`,
    );
  }
  return form(
    'cancel',
    'Cancel',
    html`<label>Why? <input name="why" maxlength="500" required autocomplete="off" placeholder="superseded, stuck, …"></label><button class="danger">Cancel this build</button>`,
  );
}

/** Machines that people have because of it. */
function heldBy({ sessions, now }: BuildPageView): Html {
  return html`${sessions.map(
    (session) =>
      html`<section class="wait" aria-label="Borrowed machine"><strong>${session.from.kind === 'held' ? 'Its machine is kept' : 'A machine like its own'}: <a href="${session.url}">${bdi(session.alias)}</a></strong> <span>${stateWord(session)}, of ${bdi(session.owner)} · ${fateOf(session, now)}</span></section>`,
  )}`;
}

/** Its machine to look at, or one like it. Whether that can be is known when it is tried. */
function borrowing({ build, who }: BuildPageView): Html {
  if (build.state === 'queued' || build.state === 'cancelling' || !who.may(operations['build.hold'].role)) return html``;
  const form = (action: 'hold' | 'repro', text: string, fields: Html): Html =>
    html`<details class="act" id="act-${action}" data-keep><summary data-key="${{ hold: 'h', repro: 'b' }[action]}" data-key-text="${text.toLowerCase()}">${text}…</summary>
<form method="post" action="${build.url}/${action}" hx-post="${build.url}/${action}" hx-target="#build" hx-swap="morph">${fields}<label>What for? <input name="note" maxlength="500" autocomplete="off"></label><button class="primary">${text}</button></form></details>`;
  const hold = form(
    'hold',
    'Keep its machine',
    html`<p>${build.state === 'ended' ? 'All as the last attempt left it, unless something else ran there since.' : 'From the end of this attempt on, all as it lies.'}</p><label>For ${lengthChooser('hold')}</label>`,
  );
  if (build.state !== 'ended') return hold;
  return html`${hold}${form('repro', 'Borrow one like it', html`<p>With the same source and environment, and the steps before the failed one already run.</p>`)}`;
}

function attempts({ build, attempt: shown, now }: BuildPageView): Html {
  return html`<nav aria-label="Attempts"><ol class="attempts">${build.attemptList.map((attempt) => {
    const current = attempt.number === shown?.number;
    return html`<li id="attempt-${attempt.number}" class="${current ? 'current' : ''}"><a href="${build.url}?attempt=${attempt.number}" ${current ? html`aria-current="true"` : ''}>${badge(lookOfAttempt(attempt), `Attempt ${attempt.number}`)} <span class="dim">${word(lookOfAttempt(attempt))}, ${span(attempt.startedAt, attempt.endedAt, now)}</span></a>${
      attempt.end && attempt.end.kind !== 'passed' ? html`<p>${endDetail(attempt.end)}</p>` : ''
    }</li>`;
  })}</ol></nav>`;
}

function shownAttempt(attempt: AttemptView, { artifacts: left, caches, now }: BuildPageView): Html {
  return html`<section class="attempt" aria-label="Attempt ${attempt.number}">
<ul class="meta"><li>on ${bdi(attempt.machine)}</li>${attempt.reason ? html`<li>${bdi(attempt.reason)}</li>` : ''}${attempt.configHash ? html`<li>configuration <code>${plain(attempt.configHash)}</code></li>` : ''}</ul>
${stepList(attempt, now)}
${artifactList(left, now)}
${cacheList(caches)}
</section>`;
}

/** A shell on the machine of an attempt that runs, beside it. */
export function buildTerminalPage(build: BuildDetail): Html {
  return html`<header class="head"><h1>${badge(lookOfBuild(build))} <span class="name"><a href="${build.url}">${bdi(build.builder)}</a></span> <span class="at"><code>${build.id}</code></span></h1></header>
<p class="prose">Beside what runs there, in the same tree. It ends with the attempt; to have the machine longer, <a href="${build.url}">keep it</a>.</p>
${terminalPanel({ name: `build-${build.id}`, below: html`ssh build-${build.id} does not.` })}`;
}
