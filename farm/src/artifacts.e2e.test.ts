/** What builds leave behind, on a farm of real processes: kept, listed, downloaded, and whole however often the coordinator dies. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { BuilderInput } from '@croft/config/define-config';
import type { ArtifactView } from '@croft/protocol/artifacts';
import { endedBuild, foundBuilds, getBuild, logOf, onlyBuild } from './testing-builds.ts';
import { makeRepo, type TestRepo } from './testing-repo.ts';
import { startFarm, type FarmOptions, type TestFarm } from './testing.ts';

const croft = fileURLToPath(new URL('../../apps/croft/src/main.ts', import.meta.url));

function configOf(repo: TestRepo, builder: Omit<BuilderInput, 'name' | 'repo'>): NonNullable<FarmOptions['config']> {
  return { repos: [{ name: 'app', url: repo.dir }], builders: [{ name: 'unit', repo: 'app', ...builder }], pools: [{ kind: 'local' }] };
}

const script = (text: string): BuilderInput['steps'] => [{ name: 'make', argv: ['sh', '-c', text] }];

async function artifactsOf(farm: TestFarm, build: string): Promise<ArtifactView[]> {
  return (await farm.api<{ artifacts: ArtifactView[] }>('GET', `/api/v1/builds/${build}/artifacts`)).artifacts;
}

test('a build leaves files behind: listed on its page and in the API, inert in a browser, downloaded by croft', async () => {
  await using repo = await makeRepo({ 'index.html': '<script>alert(1)</script>' });
  const artifacts = [
    { name: 'site', paths: ['out', '!out/tmp'], required: true },
    { name: 'cores', paths: 'core*' },
  ];
  const steps = script(
    'mkdir -p out/tmp && cp index.html out/ && echo x >out/tmp/x && printf "#!/bin/sh\\necho run" >out/run && chmod 755 out/run',
  );
  await using farm = await startFarm({ config: configOf(repo, { steps, artifacts }) });
  const { id } = await onlyBuild(farm);
  assert.deepEqual((await endedBuild(farm, id)).end, { kind: 'passed' });
  const [cores, site] = await artifactsOf(farm, id);
  assert.equal(cores?.state, 'missing');
  assert.deepEqual(
    site?.fileList.map(({ path, bytes, mode }) => [path, bytes, mode]),
    [
      ['out/index.html', 25, 0o644],
      ['out/run', 18, 0o755],
    ],
  );
  const url = `${farm.url}${site.fileList[0]?.url}`;
  assert.equal(url, `${farm.url}/builds/${id}/attempts/1/artifacts/site/out/index.html`);
  const response = await fetch(url, { headers: { range: 'bytes=0-7' } });
  assert.deepEqual([response.status, await response.text()], [206, '<script>']);
  assert.match(response.headers.get('content-disposition') ?? '', /^attachment;/);
  const page = await (await fetch(`${farm.url}/builds/${id}`)).text();
  assert.ok(page.includes(`href="${new URL(url).pathname}"`) && page.includes('missing: nothing matched'), page);

  const dir = await mkdtemp(join(tmpdir(), 'croft-get-'));
  try {
    const args = [croft, 'artifacts', id, '--get', '--to', dir, '--server', farm.url];
    await promisify(execFile)(process.execPath, args);
    assert.equal(await readFile(join(dir, 'site/out/index.html'), 'utf8'), '<script>alert(1)</script>');
    assert.equal((await promisify(execFile)(join(dir, 'site/out/run'))).stdout, 'run\n');
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('kill -9 of the coordinator again and again while artifacts come: the build passes once, and every byte is there', async () => {
  await using repo = await makeRepo({ file: 'x' });
  const steps = script(
    'mkdir out && for n in 1 2 3 4; do head -c 20000000 /dev/urandom >out/$n; done && cd out && sha256sum * >../sums && cat ../sums',
  );
  await using farm = await startFarm({
    config: configOf(repo, {
      steps,
      artifacts: [
        { name: 'big', paths: 'out' },
        { name: 'sums', paths: 'sums' },
      ],
    }),
  });
  const { id } = await onlyBuild(farm);
  for (let kills = 0; kills < 3; kills += 1) {
    const build = await farm.waitFor('the end of the steps', async () => {
      const seen = await getBuild(farm, id);
      return seen.attemptList[0]?.steps.every((step) => step.state === 'ended') && seen;
    });
    if (build.state === 'ended') break;
    await farm.kill9();
    await farm.restart();
  }
  const build = await endedBuild(farm, id);
  assert.deepEqual([build.end, build.attempts], [{ kind: 'passed' }, 1]);
  const [big, sums] = await artifactsOf(farm, id);
  assert.deepEqual([big?.state, big?.bytes, sums?.state], ['kept', 80_000_000, 'kept']);
  const told = await (await fetch(`${farm.url}${sums?.fileList[0]?.url}`)).text();
  assert.equal(big?.fileList.map(({ path, sha256 }) => `${sha256}  ${path.slice('out/'.length)}\n`).join(''), told);
});

test('a build that does not leave behind what it must has failed, and says what was missing', async () => {
  await using repo = await makeRepo({ file: 'x' });
  await using farm = await startFarm({
    config: configOf(repo, { steps: script('true'), artifacts: [{ name: 'app', paths: 'dist/app', required: true }] }),
  });
  const { id } = await onlyBuild(farm);
  const { end } = await endedBuild(farm, id);
  assert.deepEqual(end, { kind: 'failed', step: 'artifacts', text: '"app" is required: nothing matches dist/app' });
});

test('a cache that one build saves the next one finds, until the file in its key changes; a coordinator that starts again knows it', async () => {
  const lock = 'lock-1';
  await using repo = await makeRepo({ 'a.lock': lock });
  const steps = script('cat .deps/from 2>/dev/null || echo none; mkdir -p .deps; cp a.lock .deps/from');
  await using farm = await startFarm({
    config: configOf(repo, { steps, caches: [{ name: 'deps', paths: ['.deps'], key: '{hash:a.lock}' }] }),
  });
  const built = async (count: number): Promise<string> => {
    const [build] = await foundBuilds(farm, count);
    const { id } = build ?? assert.fail();
    assert.deepEqual((await endedBuild(farm, id)).end, { kind: 'passed' });
    return (await logOf(farm, id)).toString();
  };
  const notify = (): Promise<unknown> => farm.api('POST', '/api/v1/repos/app/notify');
  assert.equal(await built(1), 'none\n');
  await farm.kill9();
  await farm.restart();
  await repo.commit({ other: 'x' });
  await notify();
  assert.equal(await built(2), lock);
  await repo.commit({ 'a.lock': 'lock-2' });
  await notify();
  assert.equal(await built(3), 'none\n');
});
