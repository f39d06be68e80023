/** The tables of arrows in docs/using/builds.md and sessions.md against the machines themselves: each arrow is there, and no other. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { advanceStep, endAttempt, type AttemptState, type StepEvent, type StepState } from './attempt.ts';
import { advance, type BuildEvent, type BuildState } from './build.ts';
import { advanceLease, type LeaseEvent, type LeaseState } from './lease.ts';
import { parseMachineId } from './names.ts';
import { infraCauses, type AttemptEnd, type Exit } from './outcome.ts';
import { advanceSession, type SessionEvent, type SessionState } from './session.ts';

const ends: AttemptEnd[] = [
  { kind: 'passed' },
  { kind: 'failed', step: 'test', text: 'exit status 1' },
  { kind: 'timed-out', step: 'test', text: 'after 20 min' },
  { kind: 'cancelled', by: 'ann', why: 'not needed' },
  { kind: 'skipped', why: 'nothing to run' },
  ...infraCauses.map((cause): AttemptEnd => ({ kind: 'infra', cause, evidence: 'gone' })),
];
const exit: Exit = { kind: 'exited', code: 0 };

/** All the arrows that a machine has, found by trying every event on every state. */
function arrowsOf<State extends { kind: string }, Event extends { kind: string }>(
  states: readonly State[],
  events: readonly Event[],
  move: (state: State, event: Event) => State,
): string[] {
  const arrows = new Set<string>();
  for (const state of states) {
    for (const event of events) {
      try {
        arrows.add(`${state.kind} | ${event.kind} | ${move(state, event).kind}`);
      } catch (error) {
        assert.ok(isCode(error, 'conflict') || isCode(error, 'stale'), String(error));
      }
    }
  }
  return [...arrows].toSorted();
}

function buildArrows(): string[] {
  const states: BuildState[] = [
    { kind: 'queued', since: 1, notBefore: 1, attempts: 1, infra: 0 },
    ...[0, 1, 2].map((infra): BuildState => ({ kind: 'running', since: 1, attempts: 1, infra })),
    { kind: 'cancelling', since: 1, attempts: 1, by: 'ann', why: 'not needed' },
    ...ends.map((end): BuildState => ({ kind: 'ended', since: 1, attempts: 1, end })),
  ];
  const events: BuildEvent[] = [
    { kind: 'assigned', at: 2 },
    { kind: 'cancel', at: 2, by: 'ann', why: 'not needed' },
    { kind: 'skip', at: 2, why: 'its builder is gone' },
    { kind: 'retry', at: 2 },
    ...ends.map((end): BuildEvent => ({ kind: 'reported', at: 2, end })),
    ...ends.flatMap((end) => [0, 1, 2].map((attempt): BuildEvent => ({ kind: 'attempt-ended', at: 2, attempt, end }))),
  ];
  return arrowsOf(states, events, advance);
}

function attemptArrows(): string[] {
  const states: AttemptState[] = [
    { kind: 'running', startedAt: 1 },
    ...ends.map((end): AttemptState => ({ kind: 'ended', startedAt: 1, endedAt: 2, end })),
  ];
  const events = ends.map((end) => ({ kind: 'end', end }));
  return arrowsOf(states, events, (state, event) => endAttempt(state, event.end, 3));
}

function stepArrows(): string[] {
  const states: StepState[] = [
    { kind: 'pending' },
    { kind: 'running', startedAt: 1, logFrom: 5 },
    { kind: 'ended', startedAt: 1, endedAt: 2, logFrom: 5, logTo: 6, exit },
  ];
  const events: StepEvent[] = [
    { kind: 'started', at: 3, logFrom: 5 },
    ...[4, 5, 6].map((logTo): StepEvent => ({ kind: 'ended', at: 3, logTo, exit })),
  ];
  return arrowsOf(states, events, advanceStep);
}

function leaseArrows(): string[] {
  const states: LeaseState[] = [
    { kind: 'held', epoch: 2, acquiredAt: 1 },
    { kind: 'ended', epoch: 2, acquiredAt: 1, endedAt: 2, how: 'released' },
    { kind: 'ended', epoch: 2, acquiredAt: 1, endedAt: 2, how: 'lost' },
  ];
  const events: LeaseEvent[] = [
    ...[1, 2, 3].flatMap((epoch): LeaseEvent[] => [
      { kind: 'taken-over', epoch },
      { kind: 'released', epoch, at: 3 },
    ]),
    { kind: 'lost', at: 3 },
  ];
  return arrowsOf(states, events, advanceLease);
}

function sessionArrows(): string[] {
  const machine = parseMachineId('m-1');
  const limits = { idleMs: 1, longestMs: 9 };
  const states: SessionState[] = [
    { kind: 'waiting', since: 1 },
    { kind: 'preparing', machine, startedAt: 1, latestAt: 9, progress: '' },
    { kind: 'active', machine, startedAt: 1, usedAt: 1, expiresAt: 2, latestAt: 9 },
    { kind: 'ending', machine, startedAt: 1, since: 2, reason: 'done' },
    { kind: 'ended', at: 2, reason: 'done' },
  ];
  const events: SessionEvent[] = [
    { kind: 'assigned', at: 2, machine, limits },
    { kind: 'progress', text: '' },
    { kind: 'prepared', at: 2, limits },
    { kind: 'passed', at: 2, machine, forMs: 1, limits },
    { kind: 'used', at: 2, limits },
    { kind: 'extended', at: 2, forMs: 1 },
    { kind: 'end', at: 2, reason: 'done' },
    { kind: 'cleaned', at: 2 },
    { kind: 'lost', at: 2, evidence: 'gone' },
  ];
  return arrowsOf(states, events, advanceSession);
}

const pages = await Promise.all(
  ['builds', 'sessions'].map((name) => readFile(new URL(`../../../docs/using/${name}.md`, import.meta.url), 'utf8')),
);
const page = pages.join('\n');

function documented(machine: string): string[] {
  const rows = [...page.matchAll(/^\| (build|attempt|step|lease|session) \| ([a-z-]+) \| ([a-z-]+) \| ([a-z-]+) \|/gm)];
  const mine = rows.filter(([, name]) => name === machine).map(([, , from, event, to]) => `${from} | ${event} | ${to}`);
  return [...new Set(mine)].toSorted();
}

/** The arrows of the machine's mermaid diagram, without where it begins and ends. */
function drawn(machine: string): string[] {
  const diagram = page.split(`%% ${machine}\n`)[1]?.split('```')[0] ?? '';
  const arrows = [...diagram.matchAll(/^ +([a-z]+) --> ([a-z]+): ([a-z-]+)/gm)];
  return [...new Set(arrows.map(([, from, to, event]) => `${from} | ${event} | ${to}`))].toSorted();
}

const machines: Record<string, () => string[]> = {
  build: buildArrows,
  attempt: attemptArrows,
  step: stepArrows,
  lease: leaseArrows,
  session: sessionArrows,
};
for (const [machine, arrows] of Object.entries(machines)) {
  test(`the page's table holds every arrow of the ${machine} and no other`, () => assert.deepEqual(documented(machine), arrows()));
  test(`the page's diagram draws every arrow of the ${machine} and no other`, () => assert.deepEqual(drawn(machine), arrows()));
}
