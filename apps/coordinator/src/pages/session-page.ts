/** One borrowed machine: how it stands, how it is entered, what runs on it, its terminal and its files. */
import { html } from 'hono/html';
import { operations } from '@croft/protocol/operations';
import type { SessionView } from '@croft/protocol/sessions';
import { formatBytes } from '@croft/web/html/format';
import { bdi, instant, plain, span, type Html } from '@croft/web/html/markup';
import { badge } from '@croft/web/html/state';
import type { SessionRun } from '../sessions/shells.ts';
import { builderUrl, listTable, section } from './list-table.ts';
import {
  companions,
  copyLine,
  fateOf,
  isOver,
  mayUse,
  originOf,
  sessionActs,
  stateBadge,
  stateWord,
  waitText,
  type Reader,
} from './session-parts.ts';

export interface SessionPageView {
  readonly session: SessionView;
  readonly reader: Reader;
  /** Of whoever may use it, while it is active; undefined when its machine did not tell. */
  readonly runs?: readonly SessionRun[] | undefined;
  /** Already made. */
  readonly files?: Html | undefined;
  /** Which one its terminal shows first. */
  readonly run?: string | undefined;
  readonly now: number;
}

export function sessionPage(view: SessionPageView): Html {
  const { session, reader, files } = view;
  const open = session.state === 'active' && mayUse(session, reader);
  return html`${sessionFragment(view)}
${open ? html`${terminalPanel({ name: session.id, below: html`ssh, gomote and the <a href="#files">files</a> below do not.`, run: view.run })}${runsFragment(view)}${files ?? ''}` : ''}`;
}

export function sessionTitle(session: SessionView): string {
  return `${stateWord(session)}: ${session.alias}`;
}

/** What changes while one looks. Once it can be used, the page needs the rest, too. */
export function sessionFragment({ session, reader, now }: SessionPageView): Html {
  const { url, id, builder, hostType, machine, note, sharedWith, createdAt, startedAt, usedAt, wait } = session;
  const needs = session.state === 'active' && mayUse(session, reader) ? html`data-needs="#session-runs"` : '';
  return html`<div id="session" class="live build${isOver(session) ? ' over' : ''}" data-live="session build farm" data-session="${id}" data-title="${plain(sessionTitle(session))} · Croft" ${needs} hx-get="${url}" hx-trigger="croft:changed" hx-ext="morph" hx-swap="morph">
<header class="head"><div class="headline"><h1>${stateBadge(session)} <span class="name">${bdi(session.alias)}</span></h1>${sessionActs(session, reader, 'session')}</div>
${note === '' ? '' : html`<p class="commit-line"><strong>${bdi(note)}</strong></p>`}
${session.endReason === undefined ? '' : html`<p class="end-line">${bdi(session.endReason)}</p>`}
<ul class="meta">
<li>borrowed by ${bdi(session.owner)}${sharedWith.length === 0 ? '' : html`, shared ${companions(session)}`}</li>
<li>builder <a href="${builderUrl(builder)}">${bdi(builder)}</a>${hostType === undefined ? '' : html` (${bdi(hostType)})`}</li>
${machine === undefined ? '' : html`<li>machine <a href="/farm?${new URLSearchParams({ find: machine }).toString()}#machines">${bdi(machine)}</a></li>`}
${session.from.kind === 'asked' ? '' : html`<li>${originOf(session)}</li>`}
<li>asked for ${instant(createdAt, now)}</li>
${startedAt === undefined ? '' : html`<li>${session.endedAt === undefined ? 'has had its machine' : 'had a machine'} for ${span(startedAt, session.endedAt, now)}</li>`}
${session.endedAt === undefined ? '' : html`<li>ended ${instant(session.endedAt, now)}</li>`}
${usedAt === undefined || isOver(session) ? '' : html`<li>last used ${instant(usedAt, now)}</li>`}
<li class="id"><code>${id}</code></li>
</ul></header>
${wait ? html`<section class="wait" aria-label="Why it waits">${waitText(wait, now, 'Waits: ')}</section>` : ''}
${hint(session, reader)}
${session.progress === undefined ? '' : html`<p class="until" role="status">${bdi(session.progress)}</p>`}
${session.state === 'active' ? html`<p class="until">Ends ${fateOf(session, now, { fully: true })}.</p>${mayUse(session, reader) ? ways(session) : ''}` : ''}
</div>`;
}

/** What the reader may expect, or do, where there is no terminal. */
function hint(session: SessionView, reader: Reader): Html {
  const { state, owner, builder } = session;
  if (state === 'ended') {
    if (!reader.may(operations['session.create'].role)) return html``;
    return html`<p class="until"><a href="/sessions?${new URLSearchParams({ builder }).toString()}">Borrow another one like it</a></p>`;
  }
  if (state === 'ending')
    return html`<p class="until dim">What ran on its machine is killed, and its files are removed; then it goes back to the farm.</p>`;
  if (!mayUse(session, reader))
    return html`<p class="until dim">Only ${bdi(owner)} and those it is shared with may use it${reader.may(operations['session.extend'].role) ? '' : html`, and they need the role developer`}.</p>`;
  if (state === 'active') return html``;
  return html`<p class="until dim">The terminal comes here by itself. This page can be closed meanwhile: the session keeps its place, and ssh and gomote wait for it, too.</p>`;
}

function ways({ alias, ssh }: SessionView): Html {
  return html`<section class="ways" aria-label="How to enter it"><h2>Enter it</h2>
${ssh === undefined ? html`<p class="dim">This farm has no SSH door; the terminal below needs none.</p>` : copyLine(ssh, 'the line for ssh')}
${copyLine(`gomote ssh ${alias}`, 'the line for gomote')}
${copyLine(`gomote run ${alias} COMMAND`, 'the line to run a command')}
</section>`;
}

export interface TerminalPanel {
  /** A session's id, or `build-` and a build's. */
  readonly name: string;
  /** What needs no scripts. */
  readonly below: Html;
  /** Which run it shows first. */
  readonly run?: string | undefined;
}

/** Filled by the terminal's script. */
export function terminalPanel({ name, below, run }: TerminalPanel): Html {
  const at = `/api/v1/sessions/${name}`;
  return html`<section class="terminal" id="terminal" aria-labelledby="terminal-title" data-session="${name}" data-url="${at}/terminal" ${run === undefined ? '' : html`data-run="${run}"`}>
<div class="tools"><h2 id="terminal-title">Terminal</h2><span data-part="state" role="status"></span>
<label class="check"><input type="checkbox" data-part="aloud"> Read to a screen reader</label>
<button type="button" data-part="new" title="This one goes on">New shell</button>
<button type="button" data-part="close" title="Ends the shell and what runs in it" disabled>End shell</button>
<a class="past" data-part="past" href="#terminal-hint">Go on below the terminal</a></div>
<p class="nothing prose unscripted">The terminal needs scripts. ${below}</p>
<div data-part="screen" role="group" aria-label="Shell; Shift and F6 leaves it"></div>
<p class="dim hint" id="terminal-hint" tabindex="-1"><kbd>Shift</kbd>+<kbd>F6</kbd> leaves the terminal; <kbd>Ctrl</kbd>+<kbd>C</kbd> copies what is selected; a closed tab loses nothing: the shell goes on.</p>
</section>`;
}

export function runsFragment({ session, runs, now }: SessionPageView): Html {
  const rows = (runs ?? []).map(({ name, run, attached }) => [
    html`<a href="${session.url}?run=${encodeURIComponent(name)}#terminal" data-attach="${name}"><code>${bdi(name)}</code></a>`,
    kindOf(name),
    run.state === 'running' ? badge('running', attached > 0 ? `running, ${attached} attached` : 'running') : endBadge(run.exit),
    html`${instant(run.startedAt, now)}`,
    span(run.startedAt, run.state === 'ended' ? run.endedAt : undefined, now),
    formatBytes(run.output.length),
  ]);
  const list = listTable(['Run', 'Kind', 'State', 'Begun', 'For', 'Output'], rows, 'Runs');
  const empty = runs === undefined ? 'Its machine did not tell what runs.' : 'Nothing runs.';
  return html`<div id="session-runs" class="farm" hx-get="${session.url}/runs" hx-trigger="croft:runs from:body" hx-ext="morph" hx-swap="morph">
<a class="again" href="${session.url}#session-runs" hx-get="${session.url}/runs" hx-target="#session-runs" hx-ext="morph" hx-swap="morph" aria-label="Refresh the runs">Refresh</a>
${section('Runs', rows.length, [list, empty])}
</div>`;
}

function kindOf(name: string): string {
  if (name.startsWith('sh-')) return 'shell';
  return name.startsWith('r-') ? 'command of gomote' : name.startsWith('x-') ? 'command over SSH' : 'command';
}

function endBadge(exit: Extract<SessionRun['run'], { state: 'ended' }>['exit']): Html {
  if (exit.kind === 'exited') return badge(exit.code === 0 ? 'passed' : 'failed', exit.code === 0 ? 'ended' : `exit status ${exit.code}`);
  if (exit.kind === 'signalled') return badge('failed', exit.signal);
  return html`${badge('cancelled', 'ended')} <span class="dim">${bdi(exit.reason)}</span>`;
}
