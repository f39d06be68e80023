/** Files of a session's machine as pages give them out, over real sockets from a real buildlet. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readTarGz } from '@croft/streams/tar-read';
import { openTerminalStage, type TerminalStage } from '../pages/testing-terminals.ts';
import { fakeSession } from './testing.ts';

const id = 'S00000000000000a1';

async function openStage(): Promise<TerminalStage> {
  const stage = await openTerminalStage();
  stage.farm.sessions.put(fakeSession({ id, owner: 'someone' }));
  await mkdir(join(stage.machine.workDir, 'dir'));
  await writeFile(join(stage.machine.workDir, 'dir/file'), 'content\n'.repeat(100_000));
  return stage;
}

test('a file and an archive arrive whole', async () => {
  await using stage = await openStage();
  const file = await fetch(`${stage.url}/sessions/${id}/files/raw?path=dir/file`);
  assert.deepEqual([file.status, await file.text()], [200, 'content\n'.repeat(100_000)]);
  const archive = await fetch(`${stage.url}/sessions/${id}/files/archive?dir=dir`);
  assert.match(archive.headers.get('content-disposition') ?? '', /ann-linux-0-dir\.tar\.gz/);
  const sizes: [string, number][] = [];
  for await (const { header, content } of readTarGz(archive.body ?? assert.fail(), { maxBytes: 1e7, maxEntries: 10 })) {
    const pieces = await Array.fromAsync(content, ({ length }) => length);
    sizes.push([header.name, pieces.reduce((sum, length) => sum + length, 0)]);
  }
  assert.deepEqual(sizes, [['file', 800_000]]);
});

test('what is not on the machine any more is told as such, before anything is sent', async () => {
  await using stage = await openStage();
  for (const address of ['raw?path=no/such', 'archive?dir=no/such', 'raw?path=dir/file/x', 'archive?dir=dir/file/x']) {
    const answer = await fetch(`${stage.url}/sessions/${id}/files/${address}`);
    const text = await answer.text();
    assert.equal(answer.status, 404, address);
    assert.match(text, /there is no &quot;[^&]*&quot; on the machine any more/, address);
    assert.doesNotMatch(text, /Walk error/, address);
  }
});
