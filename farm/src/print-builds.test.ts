import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { AttemptView, BuildDetail, Change, Farm } from '@croft/protocol/api';
import { printBuilds } from './print-builds.ts';

const step = { role: 'run-tests', state: 'running' } as const;

function attempt(over: Partial<AttemptView> = {}): AttemptView {
  return {
    number: 1,
    state: 'running',
    startedAt: 1_000,
    machine: 'local-1',
    steps: [],
    log: { state: 'live', bytes: 0, url: '/log' },
    ...over,
  };
}

function build(...attemptList: AttemptView[]): BuildDetail {
  return {
    id: 'B0000000000000001',
    builder: 'ci',
    repo: 'repo',
    revision: '0123456789abcdef',
    trigger: { kind: 'branch', ref: 'main' },
    band: 'post-submit',
    state: 'running',
    attempts: attemptList.length,
    createdAt: 0,
    since: 0,
    url: '/builds/B0000000000000001',
    attemptList,
  };
}

/** What is printed while the build goes through these states. */
async function printed(...states: (BuildDetail | undefined)[]): Promise<string[]> {
  const lines: string[] = [];
  const left = [...states];
  async function* changes(): AsyncGenerator<Change> {
    for (const _ of states) yield { kind: 'build', id: 'B0000000000000001' };
    yield { kind: 'farm' };
  }
  await printBuilds({ changes, build: async () => left.shift(), farm: async () => ({ repos: [] }) }, (line) => lines.push(line), {
    url: 'http://farm',
  });
  return lines;
}

test('each attempt is told once when it is known what it runs and why, and once when it has ended', async () => {
  const steps = [
    { name: 'source', argv: [], ...step },
    { name: 'install', argv: ['npm', 'ci'], ...step },
    { name: 'test', argv: ['npm', 'test'], ...step },
  ];
  const planned = attempt({ reason: 'package.json has the script "test"', steps });
  const passed: AttemptView = { ...planned, state: 'ended', endedAt: 4_000, end: { kind: 'passed' } };
  const second: AttemptView = { ...passed, number: 2, end: { kind: 'failed', step: 'test', text: 'exit status 1' } };
  assert.deepEqual(await printed(build(), build(attempt()), build(planned), build(planned), build(passed), build(passed, second)), [
    'ci at 0123456 runs npm ci, then npm test: package.json has the script "test"',
    'ci at 0123456 passed (3.0 s) http://farm/builds/B0000000000000001',
    'ci at 0123456, attempt 2 failed in test: exit status 1 (3.0 s) http://farm/builds/B0000000000000001',
  ]);
});

test('what comes from outside commands no terminal, and a build that is gone is passed over', async () => {
  const end = { kind: 'skipped', why: 'odd\u001b]0;name\u0007\r\n\u009b31m' } as const;
  assert.deepEqual(await printed(undefined, build(attempt({ endedAt: 1_500, end }))), [
    'ci at 0123456 skipped: odd ]0;name 31m (0.5 s) http://farm/builds/B0000000000000001',
  ]);
});

test('a repository that cannot be read is told once for each reason', async () => {
  const errors = ['no such directory', 'no such directory', undefined, 'refused'];
  const lines: string[] = [];
  const left = [...errors];
  async function* changes(): AsyncGenerator<Change> {
    for (const _ of errors) yield { kind: 'commits', repo: 'repo' };
  }
  const farm = async (): Promise<Pick<Farm, 'repos'>> => {
    const error = left.shift();
    return { repos: [{ name: 'repo', url: '/repo', ...(error === undefined ? {} : { error }) }] };
  };
  await printBuilds({ changes, build: async () => undefined, farm }, (line) => lines.push(line), { url: 'http://farm' });
  assert.deepEqual(lines, [
    'repo cannot be read, and is tried again: no such directory',
    'repo cannot be read, and is tried again: refused',
  ]);
});
