/** What the pages of sessions are made of: how one stands, who may do what, and the forms for that. */
import { html } from 'hono/html';
import { operations } from '@croft/protocol/operations';
import type { RoleName } from '@croft/protocol/api';
import type { SessionView } from '@croft/protocol/sessions';
import { HOUR, MINUTE } from '@croft/runtime/clock';
import { bdi, instant, plain, type Html } from '@croft/web/html/markup';
import { badge, type Look } from '@croft/web/html/state';

export interface Reader {
  readonly name: string;
  readonly may: (role: RoleName) => boolean;
}

const looks: Record<SessionView['state'], Look> = {
  waiting: 'queued',
  preparing: 'running',
  active: 'passed',
  ending: 'cancelling',
  ended: 'skipped',
};
const words: Record<SessionView['state'], string> = {
  waiting: 'waiting',
  preparing: 'being prepared',
  active: 'active',
  ending: 'being cleaned',
  ended: 'ended',
};

export function stateBadge({ state }: Pick<SessionView, 'state'>): Html {
  return badge(looks[state], words[state]);
}

export function stateWord({ state }: Pick<SessionView, 'state'>): string {
  return words[state];
}

/** As its owner does. */
export function mayUse({ owner, sharedWith, from }: SessionView, { name, may }: Reader): boolean {
  const forAll = from.kind !== 'asked' && from.policy === true;
  return may(operations['session.extend'].role) && (forAll || owner === name || sharedWith.includes(name));
}

export function isOver({ state }: SessionView): boolean {
  return state === 'ending' || state === 'ended';
}

/** Why there is one, with a link to the build that it is about. */
export function originOf({ from }: SessionView): Html {
  if (from.kind === 'asked') return html``;
  const text = from.kind === 'held' ? 'kept from' : 'made like';
  return html`${text} <a href="/builds/${from.build}?attempt=${from.attempt}">attempt ${from.attempt} of <code>${from.build}</code></a>`;
}

/** Those it is shared with, and of which of them nobody knows who they are. */
export function companions({ sharedWith, strangers = [] }: SessionView): Html {
  const unknown = strangers.length === 0 ? '' : html` <span class="warn">(nobody is called ${bdi(strangers.join(' or '))} here yet)</span>`;
  return html`with ${bdi(sharedWith.join(', '))}${unknown}`;
}

/** When it ends, counting down, and why it waits or has ended; `fully` with the end that no use puts off. */
export function fateOf(session: SessionView, now: number, { fully = false } = {}): Html {
  const { expiresAt, latestAt, endedAt, endReason, wait } = session;
  if (session.state === 'ended' && endedAt !== undefined)
    return html`${instant(endedAt, now)} <span class="dim">${bdi(endReason ?? '')}</span>`;
  if (endReason !== undefined) return html`<span class="dim">${bdi(endReason)}</span>`;
  if (wait) return waitText(wait, now);
  if (expiresAt === undefined) return html`<span class="dim">–</span>`;
  const last = latestAt === undefined || !fully ? '' : html`, and ${instant(latestAt, now)} at the latest`;
  return html`${instant(expiresAt, now)} <span class="dim">unless it is used${last}</span>`;
}

export function waitText({ code, text, position, expectedAt }: NonNullable<SessionView['wait']>, now: number, before = ''): Html {
  const start = expectedAt === undefined ? 'expected start unknown' : html`expected to start ${instant(expectedAt, now)}`;
  const when = code === 'no-machine' ? 'until such a machine is there' : html`place ${position + 1} · ${start}`;
  return html`<strong>${before}${bdi(text)}</strong> <span class="dim">${when}</span>`;
}

const extensions: readonly (readonly [string, number])[] = [
  ['30 minutes', 30 * MINUTE],
  ['1 hour', HOUR],
  ['2 hours', 2 * HOUR],
  ['4 hours', 4 * HOUR],
  ['8 hours', 8 * HOUR],
];

/**
 * Each asks before it acts, without a script too, and is kept as it is while the page renews itself. After it the reader is where they
 * were: `back` is the fragment that changes.
 */
export function sessionActs(session: SessionView, reader: Reader, back: 'sessions' | 'session'): Html {
  if (isOver(session)) return html``;
  const own = mayUse(session, reader);
  if (!own && !reader.may('operator')) return html``;
  const { id, note, sharedWith, url } = session;
  const form = (act: string, text: string, fields: Html): Html =>
    html`<details class="act" id="act-${act}-${id}" data-keep><summary>${text}…</summary>
<form method="post" action="${url}/${act}" hx-post="${url}/${act}" hx-target="#${back === 'sessions' ? 'session-list' : back}" hx-swap="morph"><input type="hidden" name="back" value="${back}">${fields}</form></details>`;
  const waiting = session.state === 'waiting';
  const users = html`<input name="with" value="${plain(sharedWith.join(', '))}" maxlength="2000" autocomplete="off" placeholder="ann, bob">`;
  return html`<div class="acts">${
    own
      ? html`${waiting ? '' : form('extend', 'Extend', html`<label>Keep it, used or not, from now on for ${lengthChooser(`extend-${id}`)}</label><button class="primary">Extend</button>`)}
${form('share', 'Share', html`<label>May use it, too ${users}</label><p class="dim">Names of people, with commas between: those of their tokens. They enter it as you do.</p><button class="primary">Share</button>`)}
${form('note', 'Note', html`<label>What it is for <input name="note" value="${plain(note)}" maxlength="500" autocomplete="off"></label><button class="primary">Keep</button>`)}`
      : ''
  }${form(
    'destroy',
    waiting ? 'Call off' : 'Destroy',
    html`<p>${waiting ? 'It leaves the queue.' : 'What runs on the machine is killed, and its files are removed.'}</p><label>Why? <input name="why" maxlength="500" autocomplete="off" placeholder="done"></label><button class="danger">${waiting ? 'Call it off' : html`Destroy ${bdi(session.alias)}`}</button>`,
  )}</div>`;
}

export function lengthChooser(id: string): Html {
  return html`<select name="forMs" id="length-${id}">${extensions.map(([text, ms]) => html`<option value="${ms}">${text}</option>`)}</select>`;
}

/** A line to copy; the button is for those with scripts. */
export function copyLine(text: string, what: string): Html {
  return html`<p class="copy"><code>${bdi(text)}</code> <button type="button" class="quiet" data-copy="${plain(text)}" aria-label="Copy ${what}">Copy</button></p>`;
}
