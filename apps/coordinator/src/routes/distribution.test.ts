import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { manifestSchema, type Manifest } from '@croft/protocol/distribution';
import { sha256Hex } from '@croft/runtime/digest';
import { fakeConnection } from '@croft/web/testing';
import { openTestApp, type TestApp } from './testing.ts';

let app: TestApp;
let manifest: Manifest;
before(async () => {
  app = await openTestApp({ peerUid: undefined, publicNames: ['farm.example'] });
  manifest = manifestSchema.parse(await (await app.ask('/dist/buildlet/manifest.json')).json());
});
after(() => app[Symbol.asyncDispose]());

const bytesOf = async (answer: Response): Promise<Buffer> => Buffer.from(await answer.arrayBuffer());

test('anybody who reaches the farm gets what machines run, and each file is what the manifest says', async () => {
  const connection = fakeConnection({ remoteAddress: '192.0.2.7', localAddress: '192.0.2.1' });
  for (const { name, size, sha256 } of manifest.files) {
    const answer = await app.ask(`http://farm.example/dist/buildlet/${name}`, { connection });
    const bytes = await bytesOf(answer);
    assert.deepEqual([answer.status, bytes.length, sha256Hex(bytes)], [200, size, sha256], name);
  }
  assert.match(await (await app.ask('/dist/buildlet/SHA256SUMS')).text(), /^[0-9a-f]{64} {2}buildlet\.mjs\n/m);
});

test('people get gomote as one file, with its checksum', async () => {
  const bytes = await bytesOf(await app.ask('/dist/gomote/gomote'));
  assert.equal(await (await app.ask('/dist/gomote/SHA256SUMS')).text(), `${sha256Hex(bytes)}  gomote\n`);
  assert.match(bytes.toString(), /^#!\/usr\/bin\/env node\n/);
});

test('a part, or what has not changed, is sent as such', async () => {
  const whole = await bytesOf(await app.ask('/dist/buildlet/buildlet.mjs'));
  const part = await app.ask('/dist/buildlet/buildlet.mjs', { headers: { range: 'bytes=10-19' } });
  assert.deepEqual([part.status, await bytesOf(part)], [206, whole.subarray(10, 20)]);
  const tag = part.headers.get('etag') ?? '';
  assert.equal(tag, `"${sha256Hex(whole)}"`);
  assert.equal((await app.ask('/dist/buildlet/buildlet.mjs', { headers: { 'if-none-match': tag } })).status, 304);
});

test('other names are not found, wherever they would lead', async () => {
  for (const path of [
    '/dist/buildlet/nothing.mjs',
    '/dist/gomote/buildlet.mjs',
    '/dist/buildlet/..%2f..%2fcroft.db',
    '/dist/node/linux-x64',
    '/dist/node/..%2fbuildlet.mjs.gz',
    '/dist/node/toString.gz',
    '/dist/package.json',
    '/dist/toString',
    '/dist/linux%2finstall.sh',
  ]) {
    assert.equal((await app.ask(path)).status, 404, path);
  }
});

test('another site, and a name that is not ours, get nothing', async () => {
  const foreign = { headers: { origin: 'https://evil.example' } };
  assert.equal((await app.ask('/dist/buildlet/manifest.json', foreign)).status, 403);
  assert.equal((await app.ask('http://evil.example/dist/buildlet/manifest.json')).status, 403);
});

test('the Node of this platform comes packed, with the checksum of the program', async () => {
  const platform = `${process.platform}-${process.arch}`;
  const sums = await (await app.ask('/dist/node/SHA256SUMS')).text();
  const [, sha256] = new RegExp(`^([0-9a-f]{64}) {2}${platform}$`, 'm').exec(sums) ?? [];
  assert.ok(sha256, sums);
  const answers = await Promise.all([app.ask(`/dist/node/${platform}.gz`), app.ask(`/dist/node/${platform}.gz`)]);
  for (const answer of answers) {
    assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, 'application/gzip']);
    assert.equal(sha256Hex(gunzipSync(await bytesOf(answer))), sha256);
  }
});

test('scripts and units come with checksums', async () => {
  const sums = await (await app.ask('/dist/SHA256SUMS')).text();
  for (const [, sha256 = '', name = ''] of sums.matchAll(/^([0-9a-f]{64}) {2}(.+)$/gm)) {
    assert.equal(sha256Hex(await bytesOf(await app.ask(`/dist/${name}`))), sha256, name);
  }
  assert.match(sums, /install\.sh\n/);
});
