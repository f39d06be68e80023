import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { manifestSchema } from '@croft/protocol/distribution';
import { sha256Hex } from '@croft/runtime/digest';
import { isCode } from '@croft/runtime/errors';
import { release } from '@croft/runtime/release';
import { createDistribution, createGomote } from './distribution.ts';
import { findOlderNode } from './testing.ts';

const run = promisify(execFile);
const olderNode = await findOlderNode();

async function freshDir(context: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-distribution-'));
  context.after(() => rm(dir, { recursive: true }));
  return dir;
}

test('the program runs where none of our packages can be found', async (context) => {
  const dir = await freshDir(context);
  const { program } = await createDistribution(dir)();
  const { stdout, stderr } = await run(process.execPath, [program, '-version'], { cwd: dir });
  assert.match(stdout, /^buildlet version /);
  assert.equal(stderr, '');
});

test('the program starts on an older Node', { skip: olderNode === undefined && 'no Node 20 or 22 is installed' }, async (context) => {
  const { program } = await createDistribution(await freshDir(context))();
  const { stdout, stderr } = await run(olderNode ?? '', [program, '-version']);
  assert.match(stdout, /^buildlet version /);
  assert.equal(stderr, '');
});

for (const [which, node] of Object.entries({ pinned: process.execPath, older: olderNode })) {
  test(`gomote, as people install it, starts on the ${which} Node`, { skip: node === undefined }, async (context) => {
    const { dir, file } = await createGomote(await freshDir(context))();
    const installed = join(dir, file.name);
    const { stdout, stderr } = await run(node ?? '', [installed, '--help']);
    assert.match(stdout, /^Usage: gomote /);
    assert.equal(stderr, '');
    const { stdout: told } = await run(node ?? '', [installed, '-version']);
    assert.equal(told, `gomote ${release}-${file.sha256.slice(0, 12)}\n`, 'its own checksum, as in SHA256SUMS');
    await writeFile(join(dir, 'package.json'), '{"type":"module"}'); // what lies beside it does not matter
    assert.match((await run(node ?? '', [installed, 'push', '--help'])).stdout, /-ignore '\*\.mp4'/);
  });
}

test('neither the buildlet nor gomote loads Node’s fetch to start', async (context) => {
  const dir = await freshDir(context);
  const [{ program }, gomote] = await Promise.all([createDistribution(dir)(), createGomote(dir)()]);
  const tell = 'data:text/javascript,process.on("exit", () => console.log(process.moduleLoadList.filter((name) => /undici/.test(name))))';
  for (const args of [
    [program, '-version'],
    [join(gomote.dir, 'gomote'), 'push', '--help'],
  ]) {
    assert.match((await run(process.execPath, ['--import', tell, ...args])).stdout, /\n\[\]\n$/);
  }
});

test('the program stays small, since each machine holds all of it in memory', async (context) => {
  const { program } = await createDistribution(await freshDir(context))();
  const { size } = await stat(program);
  assert.ok(size < 800_000, `${size} bytes; \`import { z } from 'zod'\` alone brings 550,000, \`import * as z\` only what is used`);
});

test('machines that start together get one program, made once', async (context) => {
  const distribution = createDistribution(await freshDir(context));
  const [one, other] = await Promise.all([distribution(), distribution()]);
  assert.equal(one.program, other.program);
  const { ino } = await stat(one.program);
  assert.equal((await stat((await distribution()).program)).ino, ino);
});

test('after a failure the next machine tries again', async (context) => {
  const dir = join(await freshDir(context), 'programs');
  await writeFile(dir, 'a file is in the way');
  const distribution = createDistribution(dir);
  await assert.rejects(distribution(), (error) => isCode(error, 'internal'));
  await rm(dir);
  assert.ok((await stat((await distribution()).program)).isFile());
});

test('the manifest and SHA256SUMS tell what each file holds, and there is no other file', async (context) => {
  const { dir } = await createDistribution(await freshDir(context))();
  const manifest = manifestSchema.parse(JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8')));
  const names = manifest.files.map(({ name }) => name);
  assert.deepEqual((await readdir(dir)).toSorted(), [...names, 'SHA256SUMS', 'manifest.json'].toSorted());
  for (const { name, size, sha256 } of manifest.files) {
    const bytes = await readFile(join(dir, name));
    assert.deepEqual({ size: bytes.length, sha256: sha256Hex(bytes) }, { size, sha256 }, name);
  }
  await run('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: dir });
  assert.ok(manifest.protocols['buildlet'] && manifest.protocols['runs'] && manifest.protocols['revdial']);
});

test('the terminal module of this platform comes beside the program, marked as its own', async (context) => {
  const { dir, manifest } = await createDistribution(await freshDir(context))();
  const platform = `${process.platform}-${process.arch}`;
  const file = manifest.files.find(({ name }) => name === `pty-${platform}.node`);
  assert.equal(file?.platform, platform, `no @lydell/node-pty for ${platform}`);
  const module = createRequire(import.meta.url)(join(dir, file.name)) as Record<string, unknown>;
  assert.equal(typeof module['fork'], 'function');
});

test('two runs of npm run bundle from two directories give the same bytes', async (context) => {
  const script = new URL('../../../../farm/src/bundle.ts', import.meta.url).pathname;
  const made = await Promise.all(
    ['/', tmpdir()].map(async (cwd) => {
      const dir = await freshDir(context);
      await run(process.execPath, [script, '--out', dir], { cwd });
      const names = (await readdir(dir, { recursive: true })).filter((name) => name !== 'gomote').toSorted();
      return Promise.all(names.map(async (name) => `${name} ${sha256Hex(await readFile(join(dir, name)))}`));
    }),
  );
  assert.deepEqual(made[0], made[1]);
});
