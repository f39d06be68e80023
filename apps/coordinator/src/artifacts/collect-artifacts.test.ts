import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDirectoryBlobs } from '@croft/blobs/directory';
import type { Buildlet } from '@croft/buildlet/client';
import type { Artifact } from '@croft/domain/job';
import type { BuildId } from '@croft/domain/names';
import type { AttemptEnd } from '@croft/domain/outcome';
import { DAY, systemClock } from '@croft/runtime/clock';
import { sha256Hex } from '@croft/runtime/digest';
import { CroftError } from '@croft/runtime/errors';
import { systemRandom } from '@croft/runtime/random';
import { artifactFiles, artifactsOf, type Artifact as StoredArtifact } from '@croft/store/artifacts';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import { runBuild } from '../builds/run-build.ts';
import { incarnate, machine, openBench, queueBuild, step, type Bench } from '../builds/testing.ts';
import type { FarmDeps } from '../builds/work.ts';

function artifact(over: Partial<Artifact> & Pick<Artifact, 'name' | 'paths'>): Artifact {
  return { when: 'passed', required: false, maxBytes: 1e9, keepMs: DAY, ...over };
}

const dist = artifact({ name: 'dist', paths: ['dist', '!dist/tmp'] });
const make =
  'mkdir -p dist/deep dist/tmp && echo app >dist/app && chmod 755 dist/app && echo x >dist/deep/x && echo t >dist/tmp/t && ln -s app dist/link';

async function endOf(bench: Bench, name = 'once'): Promise<{ build: BuildId; end: AttemptEnd }> {
  const build = await queueBuild(bench, name);
  const life = incarnate(bench);
  const work = await life.records.assign(build, machine);
  assert.ok(work);
  return { build, end: await life.run(work) };
}

const notedOf = ({ db }: Bench, build: BuildId): Promise<StoredArtifact[]> => db.read((sql) => artifactsOf(sql, build));

async function contentsOf({ db, blobs }: Bench, build: BuildId, name = 'dist'): Promise<Record<string, string>> {
  const files = await db.read((sql) => artifactFiles(sql, { build, number: 1, name }, { limit: 10_000 }));
  const read = async (sha256: string): Promise<string> =>
    Buffer.concat(await Array.fromAsync(blobs.read(sha256), (piece) => Buffer.from(piece))).toString();
  return Object.fromEntries(
    await Promise.all(files.map(async ({ path, sha256, mode }) => [`${path} ${mode.toString(8)}`, await read(sha256)])),
  );
}

test('declared paths are kept with their bytes and modes; the same bytes once; links and what is left out are not', async () => {
  await using bench = await openBench([step('make', `${make}; cp dist/app dist/same; head -c 3000000 /dev/zero >dist/large`)], {
    artifacts: [dist],
  });
  const { build, end } = await endOf(bench);
  assert.deepEqual(end, { kind: 'passed' });
  const large = '\0'.repeat(3_000_000);
  assert.deepEqual(await contentsOf(bench, build), {
    'dist/app 755': 'app\n',
    'dist/deep/x 644': 'x\n',
    'dist/large 644': large,
    'dist/same 755': 'app\n',
  });
  const [noted] = await notedOf(bench, build);
  assert.ok(noted?.state.kind === 'kept');
  assert.deepEqual([noted.state.files, noted.state.bytes], [4, 3_000_010]);
  const swept = await bench.blobs.sweep({ needed: async () => new Set(), putBefore: Infinity }, {});
  assert.equal(swept.blobs, 3);
});

test('killed before or after any use of any port, every artifact is there once and whole', async () => {
  const both = [dist, artifact({ name: 'reports', paths: ['*.xml'], when: 'always' })];
  await using bench = await openBench([step('make', `${make}; echo '<r/>' >r.xml`)], { artifacts: both });
  for (const after of [false, true]) {
    for (let dieAt = 15; ; dieAt += 1) {
      // earlier ones are tried with every build
      const build = await queueBuild(bench, `${dieAt} ${after}`);
      const life = incarnate(bench, { dieAt, after });
      const work = await life.records.assign(build, machine);
      if (!work) continue; // died before it was queued for good
      const ended = await Promise.race([life.run(work), life.died.then(() => 'died' as const)]);
      if (ended === 'died') {
        const next = incarnate(bench);
        const adopted = await next.records.takeOver(build);
        if (adopted) assert.deepEqual(await next.run(adopted), { kind: 'passed' });
      }
      const noted = await notedOf(bench, build);
      assert.deepEqual(
        noted.map(({ name, state }) => [name, state.kind, state.kind === 'kept' && state.files]),
        [
          ['dist', 'kept', 2],
          ['reports', 'kept', 1],
        ],
      );
      assert.deepEqual(await contentsOf(bench, build), { 'dist/app 755': 'app\n', 'dist/deep/x 644': 'x\n' });
      assert.deepEqual(await contentsOf(bench, build, 'reports'), { 'r.xml 644': '<r/>\n' });
      if (ended !== 'died') {
        assert.ok(dieAt > 25, `only ${dieAt} moments to die at: the ports are not watched`);
        break;
      }
    }
  }
});

test('of a build that failed only what is wanted of failures is kept, and its end stays', async () => {
  const artifacts = [
    dist,
    artifact({ name: 'core', paths: ['core*'], when: 'failed' }),
    artifact({ name: 'log', paths: ['*.log'], when: 'always', required: true }),
  ];
  await using bench = await openBench([step('fail', 'echo c >core.1; exit 3')], { artifacts });
  const { build, end } = await endOf(bench);
  assert.deepEqual(end, { kind: 'failed', step: 'fail', text: 'exit status 3' });
  assert.deepEqual(
    (await notedOf(bench, build)).map(({ name, state }) => [name, state.kind]),
    [
      ['core', 'kept'],
      ['log', 'missing'],
    ],
  );
});

test('what is missing is noted; when it is required, or too large, the build has failed and says so', async () => {
  const cases = [
    { over: {}, script: 'true', end: { kind: 'passed' }, state: { kind: 'missing' } },
    {
      over: { required: true },
      script: 'true',
      end: { kind: 'failed', step: 'artifacts', text: '"dist" is required: nothing matches dist, !dist/tmp' },
    },
    { over: {}, script: 'rm -r "$PWD"', end: { kind: 'passed' }, state: { kind: 'missing' } },
    { over: { maxBytes: 3 }, script: make, end: { kind: 'passed' }, state: { kind: 'refused', why: 'it is larger than 3 bytes' } },
    {
      over: { maxBytes: 3, required: true },
      script: make,
      end: { kind: 'failed', step: 'artifacts', text: '"dist" is required: it is larger than 3 bytes' },
    },
  ] as const;
  for (const { over, script, end: expected, ...rest } of cases) {
    await using bench = await openBench([step('make', script)], { artifacts: [{ ...dist, ...over }] });
    const { build, end } = await endOf(bench);
    assert.deepEqual(end, expected);
    if ('state' in rest) assert.deepEqual((await notedOf(bench, build))[0]?.state, rest.state);
  }
});

/** Ends one attempt whose machine sends these entries, or whose farm is otherwise not what it should be. */
async function endWith(bench: Bench, change: (farm: FarmDeps) => Partial<FarmDeps>): Promise<{ build: BuildId; end: AttemptEnd }> {
  const build = await queueBuild(bench, 'changed');
  const life = incarnate(bench);
  const work = await life.records.assign(build, machine);
  assert.ok(work);
  const { signal } = new AbortController();
  return { build, end: await runBuild(work, { ...life.farm, ...change(life.farm) }, { signal, cancelled: signal }) };
}

/** The same machine, answering otherwise when it is asked for files. */
const answering =
  (getTarGz: (machine: Buildlet) => Buildlet['getTarGz']) =>
  ({ connect }: FarmDeps): Partial<FarmDeps> => ({
    connect(id) {
      const buildlet = connect(id);
      return Object.assign(Object.create(buildlet) as Buildlet, { getTarGz: getTarGz(buildlet) });
    },
  });

test('a machine that sends what was not asked for, other paths or links gets nothing of it kept', async () => {
  const file = (path: string, text = path): TarEntry => ({
    kind: 'file',
    path: Buffer.from(path, 'latin1'),
    mode: 0o4755,
    mtime: 0,
    size: Buffer.byteLength(text),
    content: Buffer.from(text),
  });
  const evil = [
    '../dist/up',
    '/dist/root',
    'dist/../../x',
    'dist//x',
    './dist/x',
    'dist/\xff',
    'other',
    'dist/tmp/t',
    `dist/${'x'.repeat(1_100)}`,
  ].map((path) => file(path));
  await using bench = await openBench([step('make', 'true')], { artifacts: [dist] });
  async function* entries(): AsyncGenerator<TarEntry> {
    yield* evil;
    yield* [file('dist/good', 'first'), file('dist/good', 'again')];
    yield { kind: 'link', path: Buffer.from('dist/l'), target: Buffer.from('/etc/passwd') };
  }
  const { build, end } = await endWith(
    bench,
    answering(() => () => packTarGz(entries())),
  );
  assert.deepEqual(end, { kind: 'passed' });
  assert.deepEqual(await contentsOf(bench, build), { 'dist/good 755': 'first' });
});

test('a disk that is full here refuses what is not required, and is no fault of a build whose artifact is', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-full-'));
  try {
    const blobs = await openDirectoryBlobs(dir, { lowWaterBytes: Number.MAX_SAFE_INTEGER, clock: systemClock, random: systemRandom });
    for (const required of [false, true]) {
      await using bench = await openBench([step('make', make)], { artifacts: [{ ...dist, required }] });
      const { build, end } = await endWith(bench, () => ({ blobs }));
      if (required) assert.ok(end.kind === 'infra' && end.cause === 'artifacts-failed' && /free/.test(end.evidence), JSON.stringify(end));
      else assert.deepEqual(end, { kind: 'passed' });
      const [noted] = await notedOf(bench, build);
      assert.equal(noted?.state.kind, required ? undefined : 'refused');
    }
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('a tree that is gone before its artifacts came is a lost machine for a build that passed, and no change for one that failed', async () => {
  for (const [script, expected] of [
    [make, 'infra'],
    ['exit 1', 'failed'],
  ] as const) {
    await using bench = await openBench([step('make', script)], { artifacts: [{ ...dist, when: 'always' }] });
    const ask =
      (buildlet: Buildlet): Buildlet['getTarGz'] =>
      (dir, match, epoch, waits) =>
        buildlet.getTarGz(dir, match, epoch, { ...waits, source: 'another' });
    const { build, end } = await endWith(bench, answering(ask));
    assert.equal(end.kind, expected);
    if (end.kind === 'infra') assert.equal(end.cause, 'machine-lost');
    else assert.equal((await notedOf(bench, build))[0]?.state.kind, 'refused');
  }
});

test('thousands of small files are kept', async () => {
  await using bench = await openBench([step('make', 'mkdir dist; cd dist; seq 1 2000 | split -l 1 -a 4 - f')], { artifacts: [dist] });
  const { build, end } = await endOf(bench);
  assert.deepEqual(end, { kind: 'passed' });
  const files = await bench.db.read((sql) => artifactFiles(sql, { build, number: 1, name: 'dist' }, { limit: 10_000 }));
  assert.equal(files.length, 2_000);
  assert.equal(files[0]?.sha256, sha256Hex('1\n'));
});

test('a machine whose buildlet is too old to be asked for files is not taken for one that has none', async () => {
  await using bench = await openBench([step('make', make)], { artifacts: [{ ...dist, required: true }] });
  async function* tooOld(): AsyncGenerator<Buffer> {
    const refusal = new CroftError('not-found', 'fetch files of "app": the buildlet answered 404 404 page not found');
    yield* await Promise.reject<Buffer[]>(refusal);
  }
  const { end } = await endWith(
    bench,
    answering(() => tooOld),
  );
  assert.ok(end.kind === 'infra' && end.cause === 'artifacts-failed' && /404 page not found/.test(end.evidence), JSON.stringify(end));
});
