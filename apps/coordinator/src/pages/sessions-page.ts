/** Borrowed machines: who holds what since when, who waits and why, and the form to ask for one. */
import { html } from 'hono/html';
import { operations } from '@croft/protocol/operations';
import type { SessionView } from '@croft/protocol/sessions';
import { bdi, instant, plain, plural, type Html } from '@croft/web/html/markup';
import type { Farmer } from '../originals/farmer.ts';
import type { MachineKind } from '../queries/read-machines.ts';
import { builderUrl, listTable, section } from './list-table.ts';
import { companions, fateOf, originOf, sessionActs, stateBadge, type Reader } from './session-parts.ts';

export const sessionFilters = ['all', 'mine', 'ended'] as const;
export type SessionFilter = (typeof sessionFilters)[number];

export interface SessionsView {
  readonly sessions: readonly SessionView[];
  readonly filter: SessionFilter;
  readonly choices: readonly BuilderChoice[];
  /** Chosen beforehand. */
  readonly builder?: string | undefined;
  readonly reader: Reader;
  readonly now: number;
}

/** A builder, and the machines that have what it needs. */
export interface BuilderChoice {
  readonly name: string;
  readonly free: number;
  readonly all: number;
}

/** By name. What machines lack beside their labels (processors, memory) shows once a session waits. */
export function choicesOf(builders: Farmer['builders'], kinds: readonly MachineKind[]): BuilderChoice[] {
  const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
  return Object.entries(builders)
    .map(([name, { needs }]) => {
      const fitting = kinds.filter(({ labels }) => needs.labels.every((label) => labels.includes(label)));
      return { name, all: sum(fitting.map(({ all }) => all)), free: sum(fitting.map(({ free }) => free)) };
    })
    .toSorted((a, b) => a.name.localeCompare(b.name));
}

export function sessionsPage(view: SessionsView): Html {
  const { filter, sessions } = view;
  return html`<div id="session-list" class="live farm" data-live="session build farm" hx-get="${filterUrl(filter)}" hx-trigger="croft:changed" hx-ext="morph" hx-swap="morph">
<h1 class="unseen">Sessions</h1>
${filter === 'ended' ? '' : createForm(view)}
<nav class="tabs" aria-label="Which sessions">${sessionFilters.map((one) => html`<a href="${filterUrl(one)}" ${one === filter ? html`aria-current="page"` : ''}>${{ all: 'All', mine: 'Mine', ended: 'Ended' }[one]}</a>`)}</nav>
${section(filter === 'ended' ? 'Ended sessions' : 'Sessions', sessions.length, [table(view), whyEmpty(view)])}
</div>`;
}

function whyEmpty({ filter, reader }: SessionsView): Html {
  if (filter === 'ended') return html`None has ended of late.`;
  const nobody = filter === 'mine' ? 'You borrow no machine.' : 'Nobody borrows a machine.';
  const how = reader.may(operations['session.create'].role)
    ? html` Choose a builder above and its machine is yours, before all builds, with a terminal, files and SSH. It ends by itself some time after its last use. From a terminal: <code>gomote create BUILDER</code>; the machine of a failed build is kept from the build’s page.`
    : html` Whoever has the role developer may.`;
  return html`${nobody}${how}`;
}

function filterUrl(filter: SessionFilter): string {
  return filter === 'all' ? '/sessions' : `/sessions?show=${filter}`;
}

function table({ sessions, filter, reader, now }: SessionsView): Html {
  const rows = sessions.map((session) => [
    html`<a href="${session.url}">${bdi(session.alias)}</a>${session.from.kind === 'asked' ? '' : html` <span class="dim">${originOf(session)}</span>`}${session.note === '' ? '' : html`<br>${bdi(session.note)}`}`,
    html`${stateBadge(session)}`,
    html`${bdi(session.owner)}${session.sharedWith.length === 0 ? '' : html` <span class="dim">${companions(session)}</span>`}`,
    html`<a href="${builderUrl(session.builder)}">${bdi(session.builder)}</a>${session.machine === undefined ? '' : html` <span class="dim">on ${bdi(session.machine)}</span>`}`,
    html`${instant(session.startedAt ?? session.createdAt, now)}`,
    fateOf(session, now),
    sessionActs(session, reader, 'sessions'),
  ]);
  const next = filter === 'ended' ? 'Ended' : 'Ends, or waits for';
  return listTable(['Session', 'State', 'Whose', 'Builder', 'Since', next, ''], rows, 'Sessions');
}

/** Not kept while the page renews itself, so that its figures stay true; what was typed and chosen stays. */
function createForm({ choices, builder, reader }: SessionsView): Html {
  if (!reader.may(operations['session.create'].role)) return html``;
  if (choices.length === 0) return html`<p class="nothing">The configuration names no builder, so there is no machine to borrow.</p>`;
  const chosen = builder ?? choices.find(({ free }) => free > 0)?.name;
  const option = ({ name, free, all }: BuilderChoice): Html =>
    html`<option value="${name}" ${name === chosen ? html`selected` : ''}>${plain(name)} (${availability({ free, all })})</option>`;
  return html`<form class="borrow" method="post" action="/sessions" hx-post="/sessions">
<label>Borrow a machine of the builder <select name="builder" required data-key="c" data-key-text="borrow a machine">${choices.map(option)}</select></label>
<label>What for? <input name="note" maxlength="500" size="36" autocomplete="off" placeholder="seen by all, such as: a flake on arm64"></label>
<button class="primary">Borrow</button>
</form>`;
}

export function availability({ free, all }: Pick<BuilderChoice, 'free' | 'all'>): string {
  if (all === 0) return 'no such machine is here: waits for one';
  if (free === 0) return `0 of ${plural(all, 'machine')} free: waits for the next`;
  return `${free} of ${plural(all, 'machine')} free`;
}
