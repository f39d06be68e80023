/** Caches of real builds on a real machine: what one saves the next finds, unless somebody who is not trusted, or a bad disk, had a say. */
import assert from 'node:assert/strict';
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Cache, Step } from '@croft/domain/job';
import type { BuildId } from '@croft/domain/names';
import type { AttemptEnd } from '@croft/domain/outcome';
import type { NewBuild } from '@croft/store/builds';
import { cacheUsesOf, type CacheUse } from '@croft/store/caches';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import type { Buildlet } from '@croft/buildlet/client';
import { createAttemptLogs } from '../logs/attempt-logs.ts';
import { runBuild } from '../builds/run-build.ts';
import { incarnate, machine, openBench, queueBuild, repo, step, type Bench } from '../builds/testing.ts';
import type { FarmDeps } from '../builds/work.ts';
import { maySave } from './save-caches.ts';

function cache(over: Partial<Cache> = {}): Cache {
  return { name: 'deps', paths: ['deps'], key: 'v1', keyFiles: [], fallback: false, maxBytes: 1e9, ...over };
}

/** Says what it found, and leaves its own. */
const install: Step = step(
  'install',
  'cat deps/* 2>/dev/null; mkdir -p deps/sub; echo "by $(ls deps | wc -l)" >deps/f; ln -sf f deps/link; echo',
);

interface Ran {
  readonly build: BuildId;
  readonly end: AttemptEnd;
  readonly log: string;
  readonly use: CacheUse | undefined;
}

let builds = 0;

async function run(
  bench: Bench,
  { over = {}, change = () => ({}) }: { over?: Partial<NewBuild>; change?: (farm: FarmDeps) => Partial<FarmDeps> } = {},
): Promise<Ran> {
  const build = await queueBuild(bench, `build ${(builds += 1)}`, over);
  const life = incarnate(bench);
  const work = await life.records.assign(build, machine);
  assert.ok(work);
  const { signal } = new AbortController();
  const end = await runBuild(work, { ...life.farm, ...change(life.farm) }, { signal, cancelled: signal });
  return { build, end, log: await logOf(bench, build), use: await useOf(bench, build) };
}

async function logOf({ dir, clock }: Bench, build: BuildId): Promise<string> {
  const reader = await createAttemptLogs(join(dir, 'logs'), { clock, onStored() {} }).reader(build, 1, async () => []);
  return Buffer.concat(await Array.fromAsync(reader.read({ from: 0 }))).toString();
}

async function useOf({ db }: Bench, build: BuildId): Promise<CacheUse | undefined> {
  return (await db.read((sql) => cacheUsesOf(sql, build)))[0];
}

test('a build that passed hands its files on, links and all; what is saved under a key never changes', async () => {
  await using bench = await openBench([install], { caches: [cache()] });
  const first = await run(bench);
  assert.deepEqual([first.end.kind, first.log], ['passed', '\n']);
  assert.ok(first.use && !first.use.restored && (first.use.savedBytes ?? 0) > 100);
  for (let again = 0; again < 2; again += 1) {
    const next = await run(bench);
    assert.deepEqual([next.end.kind, next.log], ['passed', 'by 1\nby 1\n\n']);
    assert.deepEqual([next.use?.restored, next.use?.savedBytes], [{ key: 'v1', bytes: first.use.savedBytes }, undefined]);
  }
});

test('another key, other paths and a build that failed hand nothing on; the newest that begins alike will do where that is said', async () => {
  await using bench = await openBench([install], { caches: [cache({ key: 'v1-{hash:none}' })] });
  const with_ = (over: Partial<Cache>, steps: readonly Step[] = [install]): Bench => ({
    ...bench,
    builder: { ...bench.builder, steps, caches: [cache(over)] },
  });
  assert.equal((await run(with_({ key: 'failed' }, [install, step('fail', 'exit 1')]))).use?.savedBytes, undefined);
  assert.equal((await run(with_({ key: 'failed' }))).log, '\n');
  await run(bench);
  for (const over of [{ key: 'v2' }, { key: 'v1-x', fallback: false }, { name: 'other' }, { paths: ['deps', 'more'] }]) {
    assert.equal((await run(with_(over))).use?.restored, undefined, JSON.stringify(over));
  }
  const alike = await run(with_({ key: 'v1-{hash:none}y', fallback: true }));
  assert.ok(alike.use?.restored && alike.use.restored.key !== alike.use.key);
  assert.match(alike.log, /^by 1/);
  assert.ok(alike.use.savedBytes, 'it has saved one of its own');
});

test('who proposes a change, or asks, finds what trusted builds saved and saves nothing', async () => {
  await using bench = await openBench([install], { caches: [cache()] });
  for (const trigger of [
    { kind: 'change', ref: '7' },
    { kind: 'asked', ref: 'ann' },
  ] as const) {
    const ran = await run(bench, { over: { trigger } });
    assert.deepEqual([ran.end.kind, ran.use?.savedBytes], ['passed', undefined]);
  }
  assert.equal((await run(bench)).log, '\n');
  assert.match((await run(bench, { over: { trigger: { kind: 'change', ref: '8' } } })).log, /^by 1/);
  const branch = { kind: 'branch', ref: 'main' } as const;
  assert.deepEqual([maySave({ trust: 'trusted', trigger: branch }), maySave({ trust: 'untrusted', trigger: branch })], [true, false]);
});

test('the files of the commit win over those of a cache, also where a link of the cache stands in their way', async () => {
  for (const spoil of ['echo stale >hello', 'rm hello; mkdir hello; touch hello/x', 'rm hello; ln -s /etc/passwd hello']) {
    await using bench = await openBench([step('spoil', `cat hello; ${spoil}; mkdir -p deps; touch deps/f`)], {
      caches: [cache({ paths: ['deps', 'hello'] })],
    });
    assert.equal((await run(bench)).end.kind, 'passed');
    const next = await run(bench);
    assert.deepEqual([next.end.kind, next.log], ['passed', 'from the tree\n'], spoil);
  }
});

test('an entry that is damaged or gone is as good as none, and is saved anew', async () => {
  for (const spoil of ['truncate', 'remove', 'change'] as const) {
    await using bench = await openBench([install], { caches: [cache()] });
    await run(bench);
    const entry = await incarnate(bench).farm.caches.find(jobOf(bench), { ...declared, key: 'v1' });
    assert.ok(entry);
    const path = join(bench.dir, 'blobs', entry.sha256.slice(0, 2), entry.sha256.slice(2));
    if (spoil === 'truncate') await truncate(path, entry.bytes - 20);
    if (spoil === 'remove') await bench.blobs.remove(entry.sha256);
    if (spoil === 'change') await truncate(path, entry.bytes + 3);
    const next = await run(bench);
    assert.deepEqual([next.end.kind, next.log, next.use?.restored], ['passed', '\n', undefined], spoil);
    assert.ok(next.use?.savedBytes, `${spoil}: ${next.use?.why}`);
    assert.match((await run(bench)).log, /^by 1/);
  }
});

const declared = { name: 'deps', paths: ['deps'], maxBytes: 1 };

function jobOf({ builder }: Bench): Parameters<FarmDeps['caches']['find']>[0] {
  const { name, needs, isolation, trust } = builder;
  const revisions = [{ repo, revision: 'a'.repeat(40) as Parameters<FarmDeps['caches']['find']>[0]['revisions'][0]['revision'] }];
  const trigger = { kind: 'branch', ref: 'main' } as const;
  return { owner: { kind: 'builder', name }, revisions, trigger, configHash: '', steps: [], env: {}, needs, isolation, trust };
}

test('nothing there, too much, and what a machine sends beside it are not saved, and the build has passed', async () => {
  await using bench = await openBench([install], { caches: [cache({ paths: ['none'] })] });
  const empty = await run(bench);
  assert.deepEqual([empty.end.kind, empty.use?.savedBytes, empty.use?.why], ['passed', undefined, 'nothing was there']);
  const large: Bench = { ...bench, builder: { ...bench.builder, caches: [cache({ maxBytes: 20 })] } };
  assert.match((await run(large)).use?.why ?? '', /larger than 20 bytes/);
  for (const path of ['hello', 'deps/../hello', 'deps/./x', 'deps//x']) {
    async function* evil(): AsyncGenerator<TarEntry> {
      yield { kind: 'link', path: Buffer.from('deps/ok'), target: Buffer.from('x') };
      yield { kind: 'link', path: Buffer.from(path), target: Buffer.from('deps') };
    }
    const lying = ({ connect }: FarmDeps): Partial<FarmDeps> => ({
      connect: (id) => Object.assign(Object.create(connect(id)) as Buildlet, { getTarGz: () => packTarGz(evil()) }),
    });
    const sly: Bench = { ...bench, builder: { ...bench.builder, caches: [cache({ key: path })] } };
    const ran = await run(sly, { change: lying });
    assert.deepEqual([ran.end.kind, ran.use?.savedBytes], ['passed', undefined], path);
    assert.ok(ran.use?.why?.includes(`"${path}", which is not in it`), ran.use?.why ?? '');
  }
});

test('killed before or after any use of any port, the build passes once and its cache is there, whole', async () => {
  await using first = await openBench([install]);
  for (const after of [false, true]) {
    for (let dieAt = 6; ; dieAt += 1) {
      const key = `${dieAt} ${after}`;
      const bench = { ...first, builder: { ...first.builder, caches: [cache({ key })] } };
      const build = await queueBuild(bench, key);
      const life = incarnate(bench, { dieAt, after });
      const work = await life.records.assign(build, machine);
      assert.ok(work);
      const ended = await Promise.race([life.run(work), life.died.then(() => 'died' as const)]);
      if (ended === 'died') {
        const next = incarnate(bench);
        const adopted = await next.records.takeOver(build);
        if (adopted) assert.deepEqual(await next.run(adopted), { kind: 'passed' });
      }
      assert.equal(await logOf(bench, build), '\n');
      const entry = await incarnate(bench).farm.caches.find(jobOf(bench), { ...declared, key });
      assert.ok(entry && (await bench.blobs.find(entry.sha256)), key);
      if (ended !== 'died') break;
    }
  }
});
