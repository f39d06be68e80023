import { test } from 'node:test';
import assert from 'node:assert/strict';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { createAssets, type AssetName } from './assets.ts';

const assets = createAssets();

async function get(name: AssetName, headers: Record<string, string> = {}): Promise<Response> {
  return assets.respond(new Request(`http://farm.test${(await assets.urls())[name]}`, { headers }));
}

test('files are named by their content and kept for ever', async () => {
  const urls = await assets.urls();
  for (const [name, url] of Object.entries(urls)) {
    assert.match(url, /^\/static\/[a-z]+-[0-9a-f]{12}\.(css|js|svg)$/, name);
    const answer = await get(name as AssetName);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('cache-control'), 'public, max-age=31536000, immutable');
  }
});

test('compressed once, and the same when unpacked', async () => {
  const plain = Buffer.from(await (await get('croft.css')).arrayBuffer());
  const unpack = { br: brotliDecompressSync, gzip: gunzipSync };
  for (const encoding of ['br', 'gzip'] as const) {
    const answer = await get('croft.css', { 'accept-encoding': encoding });
    assert.equal(answer.headers.get('content-encoding'), encoding);
    assert.deepEqual(unpack[encoding](Buffer.from(await answer.arrayBuffer())), plain);
  }
});

test('a browser that has it is told so', async () => {
  const tag = (await get('log.js')).headers.get('etag') ?? '';
  assert.equal((await get('log.js', { 'if-none-match': tag })).status, 304);
});

test('an unknown name is not found', async () => {
  for (const path of ['/static/croft.css', '/static/../package.json', '/static/croft-000000000000.js']) {
    assert.equal((await assets.respond(new Request(`http://farm.test${path}`))).status, 404);
  }
});

test('the build page loads at most 100 KB of script before compression', async () => {
  const sizes = await Promise.all(
    (['croft.js', 'log.js'] as const).map(async (name) => (await (await get(name)).arrayBuffer()).byteLength),
  );
  const total = sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(total <= 100_000, `${sizes.join(' + ')} bytes`);
});

test('style asks nobody else for anything', async () => {
  assert.doesNotMatch(await (await get('croft.css')).text(), /url\(|@import|https?:/);
});
