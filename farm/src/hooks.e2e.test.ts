/** A real `git push` to a bare repository with the sample hook, and a farm that looks only when it is told to. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { endedBuild, foundBuilds, listBuilds, onlyBuild } from './testing-builds.ts';
import { makeRepo, type TestRepo } from './testing-repo.ts';
import { startFarm, type TestFarm } from './testing.ts';

const sample = fileURLToPath(new URL('../../docs/using/post-receive', import.meta.url));
const secret = 'a long secret that only the server of the repository knows';
const skip = spawnSync('curl', ['--version']).status === 0 ? false : 'the sample hook needs curl; install it';

interface Server extends AsyncDisposable {
  readonly dir: string;
  /** Where somebody works and pushes from. */
  readonly repo: TestRepo;
  /** Does what the sample says. */
  install(url: string, token?: string): void;
  /** What the person who pushes reads. */
  push(...refs: string[]): string;
}

async function createServer(): Promise<Server> {
  await using stack = new AsyncDisposableStack();
  const place = stack.use(await mkdtempDisposable(join(tmpdir(), 'croft-server-')));
  const repo = stack.use(await makeRepo('#!/bin/sh\ntrue\n'));
  const dir = join(place.path, 'app.git');
  const git = (...args: string[]): string => execFileSync('git', ['-C', dir, ...args], { encoding: 'utf8' });
  mkdirSync(join(dir, 'hooks'), { recursive: true });
  git('init', '--quiet', '--bare', '--initial-branch=main', '--template=');
  const push: Server['push'] = (...refs) => spawnSync('git', ['push', '--force', dir, ...refs], { cwd: repo.dir, encoding: 'utf8' }).stderr;
  push('main');
  const owned = stack.move();
  return {
    dir,
    repo,
    install(url, token = secret) {
      const file = join(place.path, 'app.token');
      writeFileSync(file, `X-Croft-Token: ${token}\n`, { mode: 0o600 });
      copyFileSync(sample, join(dir, 'hooks/post-receive'));
      git('config', 'croft.url', url);
      git('config', 'croft.tokenFile', file);
    },
    push,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function startListening({ dir }: Server): Promise<TestFarm> {
  return startFarm({
    env: { HOOK_SECRET: secret },
    config: {
      secrets: [{ name: 'hooks', env: 'HOOK_SECRET' }],
      repos: [{ name: 'app', url: dir, branches: ['**'], pollMs: 'never', hookSecret: 'hooks' }],
      builders: [{ name: 'unit', repo: 'app', steps: 'detect' }],
      pools: [{ kind: 'local' }],
    },
  });
}

test('a push is built because the hook tells of it: a commit, a new branch, history pushed over', { skip }, async () => {
  await using server = await createServer();
  const { repo } = server;
  await using farm = await startListening(server);
  server.install(`${farm.url}/hooks/app`);
  await onlyBuild(farm);
  const expected = [repo.head];

  expected.push(await repo.commit({ a: '1\n' }));
  assert.doesNotMatch(server.push('main'), /not told/);
  await foundBuilds(farm, 2);

  await repo.git('checkout', '--quiet', '-b', 'topic/one');
  expected.push(await repo.commit({ b: '1\n' }));
  server.push('topic/one');
  await foundBuilds(farm, 3);

  await repo.git('reset', '--quiet', '--hard', 'HEAD~1');
  expected.push(await repo.commit({ b: '2\n' }));
  server.push('topic/one', ':main');
  const builds = await foundBuilds(farm, 4);
  assert.deepEqual(builds.map(({ revision }) => revision).toSorted(), expected.toSorted());
  for (const { id } of builds) assert.deepEqual((await endedBuild(farm, id)).end, { kind: 'passed' });
});

test('a push succeeds when the farm refuses it or is down, and says that the farm was not told', { skip }, async () => {
  await using server = await createServer();
  const { repo, dir } = server;
  await using farm = await startListening(server);
  const first = await onlyBuild(farm);
  server.install(`${farm.url}/hooks/app`, 'a secret that is not the right one');
  const second = await repo.commit({ a: '1\n' });
  assert.match(server.push('main'), /not told.*see it when it looks/);
  await farm.ctrlC();
  const third = await repo.commit({ a: '2\n' });
  assert.match(server.push('main'), /not told/);
  assert.equal(execFileSync('git', ['-C', dir, 'rev-parse', 'main'], { encoding: 'utf8' }).trim(), third);

  await farm.restart();
  await foundBuilds(farm, 3);
  const revisions = (await listBuilds(farm)).map(({ revision }) => revision);
  assert.deepEqual(revisions.toSorted(), [first.revision, second, third].toSorted());
});
