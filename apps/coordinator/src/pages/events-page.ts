/** What happened in a build and when (coordinator.md 4.8): each attempt and step as a bar on one line of time, then every event. */
import { html } from 'hono/html';
import type { AttemptView, BuildDetail } from '@croft/protocol/api';
import { formatDuration, formatInstant } from '@croft/web/html/format';
import { bdi, plain, plural, span, type Html } from '@croft/web/html/markup';
import { badge, glyph, lookOfAttempt, lookOfBuild, lookOfStep, word, type Look } from '@croft/web/html/state';
import { eventsOf } from '../originals/build-records.ts';
import { commitUrl, listTable, section } from './list-table.ts';
import { bar } from './step-list.ts';

export interface EventsView {
  readonly build: BuildDetail;
  readonly now: number;
}

export function eventsTitle(build: BuildDetail): string {
  return `Events: ${build.builder} at ${build.revision.slice(0, 7)}`;
}

export function eventsPage({ build, now }: EventsView): Html {
  const events = build.attemptList.flatMap((attempt) => eventsOf(build, attempt));
  const from = build.createdAt;
  const rows = events.map(({ attempt, at, event, text }) => [
    html`<span class="num" title="${formatInstant(at)}">+${formatDuration(at - from)}</span>`,
    html`<code>${bdi(event)}</code>`,
    bdi(text),
    `${attempt}`,
  ]);
  return html`<div id="event-list" class="live farm" data-live="build" data-build="${build.id}" hx-get="${build.url}/events" hx-trigger="croft:changed" hx-ext="morph" hx-swap="morph">
<header class="head"><h1>${badge(lookOfBuild(build))} <span class="name"><a href="${build.url}">${bdi(build.builder)}</a></span> <span class="at">at <a href="${commitUrl(build)}">${bdi(build.repo)} <code>${build.revision.slice(0, 12)}</code></a></span></h1>
<ul class="meta"><li>found ${formatInstant(from)}</li><li>${waited(build, now)}</li><li>${plural(build.attempts, 'attempt')}</li><li><a href="/api/v1/builds/${build.id}/records">as JSON</a></li></ul></header>
${section('Time line', build.attemptList.length, [waterfall(build, now), 'No attempt has begun, so there is nothing to draw yet.'])}
${section('Events', events.length, [listTable(['After', 'Event', 'What', 'Attempt'], rows, 'Events'), 'Nothing has happened yet.'])}
</div>`;
}

function waited({ createdAt, attemptList: [first] }: BuildDetail, now: number): Html {
  return first ? html`waited ${span(createdAt, first.startedAt, now)} for a machine` : html`waits ${span(createdAt, undefined, now)}`;
}

interface Scale {
  readonly from: number;
  readonly to: number;
}

/** Each attempt has a scale of its own: days may lie between two of them. */
function waterfall(build: BuildDetail, now: number): Html {
  return html`<ol class="falls" aria-label="Attempts and steps, each attempt on a line of time of its own">${build.attemptList.map((attempt) => attemptRows(attempt, build.createdAt, now))}</ol>`;
}

function attemptRows(attempt: AttemptView, createdAt: number, now: number): Html {
  const scale = { from: attempt.startedAt, to: Math.max(attempt.startedAt + 1, attempt.endedAt ?? now) };
  const steps = attempt.steps.flatMap((step) => {
    if (step.startedAt === undefined) return [];
    const endedAt = step.endedAt ?? (attempt.state === 'ended' ? attempt.endedAt : undefined);
    return [row({ className: 'fall', look: lookOfStep(step, attempt), name: step.name, times: [step.startedAt, endedAt] }, scale, now)];
  });
  const name = `Attempt ${attempt.number} on ${attempt.machine}, after ${formatDuration(attempt.startedAt - createdAt)}`;
  return html`${row({ className: 'fall whole', look: lookOfAttempt(attempt), name, times: [attempt.startedAt, attempt.endedAt] }, scale, now)}${steps}`;
}

interface Fall {
  readonly className: string;
  readonly look: Look;
  readonly name: string;
  readonly times: readonly [number, number | undefined];
}

function row({ className, look, name, times: [from, to] }: Fall, scale: Scale, now: number): Html {
  return html`<li class="${className}"><span class="fall-name" title="${plain(name)}">${glyph(look)}<span class="unseen">${word(look)} </span>${bdi(name)}</span>${bar(look, [from - scale.from, (to ?? now) - scale.from], scale.to - scale.from)}<span class="took">${span(from, to, now)}</span></li>`;
}
