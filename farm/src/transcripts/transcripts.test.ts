/** Each landed version of what a coordinator and a buildlet say, against the other side of today: N−2 is understood, either way round. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { createBuildlet } from '@croft/buildlet/client';
import { startTestBuildlet } from '@croft/buildlet/testing';
import { systemClock } from '@croft/runtime/clock';
import { fromText, openReplay, say, type Exchange, type Heard } from './conversation.ts';
import { playStory } from './story.ts';

interface Transcript {
  readonly told: Record<string, unknown>;
  readonly exchanges: readonly Exchange[];
}

const recorded = new URL('recorded/', import.meta.url);
const versions = readdirSync(recorded).filter((name) => name.startsWith('runs-'));

for (const file of versions) {
  const { told, exchanges } = JSON.parse(readFileSync(new URL(file, recorded), 'utf8')) as Transcript;
  const version = file.replace(/^runs-|\.json$/g, '');

  test(`today’s client understands a buildlet of ${version}`, async () => {
    await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-replay-'));
    await using replay = await openReplay(join(dir.path, 'socket'), exchanges);
    await using client = createBuildlet({ socketPath: replay.socketPath, password: 'any' }, { clock: systemClock });
    assert.deepEqual(await playStory(client), told);
  });

  test(`a client of ${version} is understood by today’s buildlet`, async () => {
    await using buildlet = await startTestBuildlet();
    const { socketPath, password } = buildlet.address;
    assert.ok(socketPath !== undefined);
    for (const { answer, ...said } of exchanges) {
      const heard = await say(said, { socketPath, password });
      const what = `${said.method} ${said.path}: ${heard.body.slice(0, 300)}`;
      assert.equal(heard.status, answer.status, what);
      assert.equal(heard.type.split(';')[0], answer.type.split(';')[0], what);
      sameMeaning(answer, heard, what);
    }
  });
}

test('the versions that are kept are the first one and the newest at least', () => {
  assert.ok(versions.includes('runs-v0.1.json') && versions.length >= 2, versions.join());
});

function sameMeaning(then: Heard, now: Heard, what: string): void {
  if (then.body.startsWith('{')) return holds(JSON.parse(then.body), JSON.parse(now.body), what);
  if (then.body.startsWith('base64:H4sI')) return assert.ok(gunzipSync(fromText(now.body)).includes('hello\n'), what);
  if (!then.body.startsWith('/')) assert.equal(now.body, then.body, what); // a path is the machine's
}

/** Of these only the kind must be the same: they tell of the machine, of time and chance, or are read by people. */
const varying = /^(boot|cpus|endedAt|freeBytes|hint|memoryBytes|message|pid|port|reason|startedAt|Version)$/;

/** Everything that was there is there; more may be. */
function holds(then: unknown, now: unknown, what: string): void {
  if (Array.isArray(then)) {
    assert.ok(Array.isArray(now) && now.length === then.length, what);
    for (const [index, one] of then.entries()) holds(one, now[index], what);
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
