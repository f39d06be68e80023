import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ArtifactView } from '@croft/protocol/artifacts';
import { sha256Hex } from '@croft/runtime/digest';
import { CroftError } from '@croft/runtime/errors';
import { openTestServer, runWith, testId, testNow, type TestServer } from '../testing.ts';

const base = { attempt: 1, storedAt: testNow, files: 0, bytes: 0, fileList: [] };

function kept(name: string, files: Readonly<Record<string, string>>, attempt = 1): ArtifactView {
  const fileList = Object.entries(files).map(([path, text]) => ({
    path,
    bytes: text.length,
    sha256: sha256Hex(text),
    mode: 0o755,
    url: 'https://elsewhere.example/steal',
  }));
  return { ...base, attempt, name, state: 'kept', files: fileList.length, bytes: 9, fileList };
}

function serve(artifacts: readonly ArtifactView[], contents: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  const answers = Object.entries(contents).map(
    ([path, text]) => [`GET /builds/${testId}/attempts/1/artifacts/${path}`, () => new Response(text)] as const,
  );
  return openTestServer({ [`GET /api/v1/builds/${testId}/artifacts`]: () => Response.json({ artifacts }), ...Object.fromEntries(answers) });
}

test('lists what the last attempt left, and says plainly what is not there', async () => {
  const artifacts: ArtifactView[] = [
    kept('old', { a: 'x' }, 1),
    { ...base, attempt: 2, name: 'big', state: 'refused', why: 'it is larger than 3 bytes\u001b[2J' },
    { ...base, attempt: 2, name: 'cov', state: 'missing' },
    kept('app', { 'dist/app': 'content' }, 2),
  ];
  await using server = await serve(artifacts);
  const ran = await runWith(['artifacts', testId, '--server', server.url]);
  assert.equal(ran.status, 0);
  assert.match(
    ran.stdout,
    /^big .*not kept: it is larger than 3 bytes \[2J\ncov .*missing\napp .*1 files\n {2}dist\/app +7 B +[0-9a-f]{12}\n$/s,
  );
  assert.match((await runWith(['artifacts', testId, '--attempt', '1', '--server', server.url])).stdout, /^old/);
  assert.deepEqual(JSON.parse((await runWith(['artifacts', testId, '--json', '--name', 'cov', '--server', server.url])).stdout), {
    artifacts: [artifacts[2]],
  });
});

test('downloads files whole, with their modes, from the farm alone', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-get-'));
  try {
    await using server = await serve([kept('app', { 'dist/a b': 'content' })], { 'app/dist%2Fa%20b': 'content' });
    const ran = await runWith(['artifacts', testId, '--get', '--server', server.url], { cwd: dir });
    assert.equal(ran.status, 0, ran.stderr);
    const path = join(dir, testId, 'app/dist/a b');
    assert.equal(await readFile(path, 'utf8'), 'content');
    assert.equal((await stat(path)).mode & 0o777, 0o755);
    assert.equal((await runWith(['artifacts', testId, '--get', '--name', 'none', '--server', server.url], { cwd: dir })).status, 1);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('what came is not what was kept, or would be written elsewhere: nothing is left of it', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-get-'));
  try {
    await using server = await serve([kept('app', { file: 'content' })], { 'app/file': 'other' });
    const ran = await runWith(['artifacts', testId, '--get', '--to', 'here', '--server', server.url], { cwd: dir });
    assert.notEqual(ran.status, 0);
    assert.match(ran.stderr, /is not what was kept/);
    assert.deepEqual(await readdir(join(dir, 'here/app')), []);
    for (const path of ['../../up', '/etc/passwd', '.']) {
      await using evil = await serve([kept('app', { [path]: 'x' })]);
      const refused = await runWith(['artifacts', testId, '--get', '--server', evil.url], { cwd: dir });
      assert.match(refused.stderr, /would leave/, path);
    }
    for (const name of ['../up', '..', '/tmp']) {
      await using evil = await serve([kept(name, { file: 'x' })]);
      const refused = await runWith(['artifacts', testId, '--get', '--server', evil.url], { cwd: dir });
      assert.match(refused.stderr, /would leave/, name);
    }
    assert.deepEqual(await readdir(dir), ['here']);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('a download that is interrupted, or whose name is taken by a directory, leaves no draft', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-get-'));
  try {
    await using server = await serve([kept('app', { file: 'content' })], { 'app/file': 'content' });
    await mkdir(join(dir, 'taken/app/file'), { recursive: true });
    assert.equal((await runWith(['artifacts', testId, '--get', '--to', 'taken', '--server', server.url], { cwd: dir })).status, 1);
    assert.deepEqual(await readdir(join(dir, 'taken/app')), ['file']);
    const interrupted = new AbortController();
    await using slow = await openTestServer({
      [`GET /api/v1/builds/${testId}/artifacts`]: () => Response.json({ artifacts: [kept('app', { file: 'content' })] }),
      [`GET /builds/${testId}/attempts/1/artifacts/app/file`]: () => {
        const body = new ReadableStream({
          start: (controller) => controller.enqueue(Buffer.from('con')),
          pull: () => interrupted.abort(new CroftError('cancelled', 'interrupted')),
        });
        return new Response(body);
      },
    });
    const args = ['artifacts', testId, '--get', '--to', 'slow', '--server', slow.url];
    assert.equal((await runWith(args, { cwd: dir, signal: interrupted.signal })).status, 130);
    assert.deepEqual(await readdir(join(dir, 'slow/app')), []);
  } finally {
    await rm(dir, { recursive: true });
  }
});
