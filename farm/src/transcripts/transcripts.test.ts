/** Each landed version of what a coordinator and a buildlet say, against the other side of today: N−2 is understood, either way round. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { startTestBuildlet } from '@croft/buildlet/testing';
import { fromText, openReplay, say, type Exchange, type Heard } from './conversation.ts';
import { stories, type Story } from './stories.ts';

interface Transcript {
  readonly told: Record<string, unknown>;
  readonly exchanges: readonly Exchange[];
}

const recorded = new URL('recorded/', import.meta.url);
const files = readdirSync(recorded);

for (const [kind, { door, play }] of Object.entries(stories)) {
  for (const file of files.filter((name) => name.startsWith(`${kind}-`))) replay(file, { door, play });
}

function replay(file: string, { door, play }: Story): void {
  const { told, exchanges } = JSON.parse(readFileSync(new URL(file, recorded), 'utf8')) as Transcript;
  const [, version = ''] = /-(.*)\.json$/.exec(file) ?? [];

  test(`today’s ${door} understands a buildlet of ${version}`, async () => {
    await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-replay-'));
    await using server = await openReplay(join(dir.path, 'socket'), exchanges);
    const client = (await import(`@croft/buildlet/${door}`)) as object;
    assert.deepEqual(await play(client, { socketPath: server.socketPath, password: 'any' }, version), told);
  });

  test(`a ${door} of ${version} is understood by today’s buildlet`, async () => {
    await using buildlet = await startTestBuildlet();
    const { socketPath, password } = buildlet.address;
    assert.ok(socketPath !== undefined);
    const workDir = exchanges.find(({ path }) => path === '/workdir')?.answer.body ?? '';
    for (const { answer: then, ...said } of exchanges) {
      const heard = withoutMachine(await say(said, { socketPath, password }), buildlet.workDir);
      const answer = withoutMachine(then, workDir);
      const what = `${said.method} ${said.path}: ${heard.body.slice(0, 300)}`;
      assert.equal(heard.status, answer.status, what);
      assert.equal(heard.type.split(';')[0], answer.type.split(';')[0], what);
      assert.deepEqual(heard.trailers, answer.trailers, what);
      sameMeaning(answer, heard, what);
    }
  });
}

test('the versions that are kept are the first one and the newest at least', () => {
  for (const file of ['runs-v0.1.json', 'runs-v0.2.json', 'go-v0.2.json']) assert.ok(files.includes(file), file);
});

/** Where it works, and the times of its files. */
function withoutMachine({ trailers, ...heard }: Heard, workDir: string): Heard {
  const plain = (text: string): string => text.replaceAll(workDir, 'WORK').replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, 'TIME');
  const behind = trailers && Object.entries(trailers).map(([name, value]) => [name, plain(value)]);
  return { ...heard, body: plain(heard.body), ...(behind ? { trailers: Object.fromEntries(behind) } : {}) };
}

function sameMeaning(then: Heard, now: Heard, what: string): void {
  if (then.body.startsWith('{')) return holds(JSON.parse(then.body), JSON.parse(now.body), what);
  if (then.body.startsWith('base64:H4sI')) return assert.ok(gunzipSync(fromText(now.body)).includes('hello\n'), what);
  assert.equal(now.body, then.body, what);
}

/** Of these only the kind must be the same: they tell of the machine, of time and chance, or are read by people. */
const varying =
  /^(at|boot|cpuMs|cpus|endedAt|found|freeBytes|hint|memoryBytes|message|ok|peakBytes|pid|port|reason|selfTest|startedAt|Version)$/;

/** Everything that was there is there; more may be. */
function holds(then: unknown, now: unknown, what: string): void {
  if (Array.isArray(then)) {
    assert.ok(Array.isArray(now), what);
    if (!what.startsWith('checks of ')) assert.equal(now.length, then.length, what);
    for (const [index, one] of then.entries()) holds(one, namesake(one, now) ?? now[index], what);
    return;
  }
  if (typeof then !== 'object' || then === null) return assert.equal(now, then, what);
  assert.ok(typeof now === 'object' && now !== null, what);
  for (const [name, value] of Object.entries(then)) {
    const found: unknown = (now as Record<string, unknown>)[name];
    if (varying.test(name)) assert.equal(typeof found, typeof value, `${name} of ${what}`);
    else holds(value, found, `${name} of ${what}`);
  }
}

/** Of a check: in which order they come, and which others, is the machine's. */
function namesake(one: unknown, all: readonly unknown[]): unknown {
  const nameOf = (item: unknown): unknown => (item as { name?: unknown } | null)?.name;
  return nameOf(one) === undefined ? undefined : all.find((item) => nameOf(item) === nameOf(one));
}
