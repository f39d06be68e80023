/** Files that a form without scripts sends, over real sockets to a real buildlet. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openTerminalStage, type TerminalStage } from '../pages/testing-terminals.ts';
import { fakeSession } from './testing.ts';

const id = 'S00000000000000a1';

async function openStage(): Promise<TerminalStage> {
  const stage = await openTerminalStage();
  stage.farm.sessions.put(fakeSession({ id, owner: 'someone' }));
  stage.farm.sessions.put(fakeSession({ id: 'S00000000000000b2', alias: 'bob-linux-0', owner: 'bob' }));
  return stage;
}

interface Sent {
  readonly session?: string;
  readonly dir?: string;
  readonly headers?: Record<string, string>;
  readonly files?: readonly (readonly [string, string])[];
}

function send(stage: TerminalStage, { session = id, dir = '', headers = {}, files = [['a.txt', 'hello']] }: Sent): Promise<Response> {
  const body = new FormData();
  for (const [name, content] of files) body.append('file', new Blob([content]), name);
  const address = `${stage.url}/sessions/${session}/files?${new URLSearchParams({ dir }).toString()}`;
  return fetch(address, { method: 'POST', body, redirect: 'manual', headers: { origin: stage.url, ...headers } });
}

test('files arrive where the form was, and the reader comes back there', async () => {
  await using stage = await openStage();
  const files = [
    ['a.txt', 'hello'],
    ['ü b.bin', '\r\n--\r\n'.repeat(50_000)],
  ] as const;
  const answer = await send(stage, { dir: 'new/dir', files });
  assert.deepEqual([answer.status, answer.headers.get('location')], [303, `/sessions/${id}?dir=new%2Fdir#files`]);
  for (const [name, content] of files) assert.equal(await readFile(join(stage.machine.workDir, 'new/dir', name), 'utf8'), content);
});

test('what comes from a foreign page, for somebody else’s machine, leaves the work directory or is no form, writes nothing', async () => {
  await using stage = await openStage();
  const cases: readonly (readonly [Sent, number, RegExp])[] = [
    [{ headers: { origin: 'http://evil.example' } }, 403, /comes from another page/],
    [{ headers: { origin: stage.url, 'sec-fetch-site': 'cross-site' } }, 403, /comes from another page/],
    [{ session: 'bob-linux-0' }, 403, /bob/],
    [{ session: 'S00000000000000ff' }, 404, /no session/],
    [{ dir: '../..' }, 400, /did not take/],
    [{ files: [] }, 400, /no file was chosen/],
    [{ headers: { 'content-type': 'text/plain' } }, 400, /cannot be read/],
  ];
  for (const [sent, status, message] of cases) {
    const answer = await send(stage, sent);
    assert.equal(answer.status, status, JSON.stringify(sent));
    assert.match(await answer.text(), message);
    assert.match(answer.headers.get('content-security-policy') ?? '', /default-src 'none'/);
  }
  assert.ok(!existsSync(join(stage.machine.workDir, 'a.txt')) && !existsSync(join(stage.machine.dir, '..', 'a.txt')));
});
