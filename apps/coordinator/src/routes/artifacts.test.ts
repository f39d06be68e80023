import assert from 'node:assert/strict';
import { test } from 'node:test';
import { artifactListSchema, type ArtifactView } from '@croft/protocol/artifacts';
import { sha256Hex } from '@croft/runtime/digest';
import { testDetail, testNow } from '../pages/testing-views.ts';
import { openTestApp, type TestApp } from './testing.ts';

const build = 'B0123456789abcdef';
const hostilePage = Buffer.from('<script>fetch("/api/v1/tokens", { method: "POST" })</script>');
const at = (path: string): string => `/builds/${build}/attempts/1/artifacts/site/${path}`;

async function openWithFiles(): Promise<TestApp> {
  const app = await openTestApp();
  app.farm.state.builds.set(build, testDetail());
  for (const [path, content] of [
    ['deep/index.html', hostilePage],
    ['a b/ü "q".txt', Buffer.from('umlaut')],
    ['empty', Buffer.alloc(0)],
  ] as const)
    app.farm.state.files.set(`${build}/1/site/${path}`, content);
  return app;
}

test('hostile HTML is a download that no browser shows or runs', async () => {
  await using app = await openWithFiles();
  for (const path of ['deep/index.html', 'deep%2Findex.html']) {
    const response = await app.ask(at(path));
    assert.equal(response.status, 200, path);
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), hostilePage);
    const { headers } = response;
    assert.equal(headers.get('content-type'), 'application/octet-stream');
    assert.equal(headers.get('content-disposition'), `attachment; filename="index.html"; filename*=UTF-8''index.html`);
    assert.equal(headers.get('x-content-type-options'), 'nosniff');
    assert.match(headers.get('content-security-policy') ?? '', /^sandbox; default-src 'none'/);
    assert.equal(headers.get('cross-origin-resource-policy'), 'same-origin');
    assert.equal(headers.get('etag'), `"${sha256Hex(hostilePage)}"`);
  }
});

test('a name of any characters comes whole, in a header that it cannot break', async () => {
  await using app = await openWithFiles();
  const response = await app.ask(at(encodeURIComponent('a b/ü "q".txt')));
  assert.equal(await response.text(), 'umlaut');
  assert.equal(response.headers.get('content-disposition'), `attachment; filename="_ _q_.txt"; filename*=UTF-8''%C3%BC%20%22q%22.txt`);
  const empty = await app.ask(at('empty'));
  assert.deepEqual([empty.status, empty.headers.get('content-length'), await empty.text()], [200, '0', '']);
});

test('ranges, unchanged files and HEAD are answered as for logs', async () => {
  await using app = await openWithFiles();
  const part = await app.ask(at('deep/index.html'), { headers: { range: 'bytes=1-6' } });
  assert.deepEqual([part.status, part.headers.get('content-range'), await part.text()], [206, `bytes 1-6/${hostilePage.length}`, 'script']);
  const beyond = await app.ask(at('deep/index.html'), { headers: { range: 'bytes=1000-' } });
  assert.deepEqual([beyond.status, beyond.headers.get('content-range')], [416, `bytes */${hostilePage.length}`]);
  const same = await app.ask(at('deep/index.html'), { headers: { 'if-none-match': `"${sha256Hex(hostilePage)}"` } });
  assert.deepEqual([same.status, await same.text()], [304, '']);
  const head = await app.ask(at('deep/index.html'), { method: 'HEAD' });
  assert.deepEqual([head.status, head.headers.get('content-length'), await head.text()], [200, String(hostilePage.length), '']);
});

test('what is not there, and what cannot be, is not found; who may not read gets nothing', async () => {
  await using app = await openWithFiles();
  for (const path of ['none', 'deep', '%2Fetc%2Fpasswd', `%00`, 'x'.repeat(1_001)])
    assert.equal((await app.ask(at(path))).status, 404, path);
  assert.equal((await app.ask(at('deep/index.html'), { headers: await app.as('monitor') })).status, 403);
  assert.equal((await app.ask(at('deep/index.html'), { headers: await app.as('viewer', ['website']) })).status, 404);
  assert.equal((await app.ask(at('deep/index.html'), { headers: await app.as('viewer', ['croft']) })).status, 200);
});

test('the list is for programs, and follows who may see the build', async () => {
  await using app = await openWithFiles();
  const file = { path: 'deep/index.html', bytes: 5, sha256: 'a'.repeat(64), mode: 0o644, url: at('deep/index.html') };
  const kept: ArtifactView = {
    attempt: 1,
    name: 'site',
    state: 'kept',
    storedAt: testNow,
    keepUntil: testNow + 1,
    files: 1,
    bytes: 5,
    fileList: [file],
  };
  app.farm.state.artifacts.push(kept);
  const answer = await app.ask(`/api/v1/builds/${build}/artifacts`);
  assert.deepEqual(artifactListSchema.parse(await answer.json()), { artifacts: [kept], caches: [] });
  assert.equal((await app.ask(`/api/v1/builds/${build}/artifacts`, { headers: await app.as('viewer', ['website']) })).status, 404);
  assert.equal((await app.ask('/api/v1/builds/Bffffffffffffffff/artifacts')).status, 404);
});
