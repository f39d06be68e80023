import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ConfigInput } from '@croft/config/define-config';
import { mistakeText } from '@croft/config/mistakes';
import { readConfig } from '@croft/config/read-config';
import { systemClock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { createLiveConfig, type LiveConfig } from './live-config.ts';
import { readAgain, type ReadAgainDeps } from './read-again.ts';

const first: ConfigInput = { dataDir: '/srv/farm', repos: [{ name: 'app', url: '/srv/app' }] };

interface Stage extends Disposable {
  readonly live: LiveConfig;
  readonly path: string;
  /** What was prepared, changed and told, in order. */
  readonly done: string[];
  /** Undefined takes the file away. */
  read(text: string | undefined, differs?: Partial<ReadAgainDeps>): ReturnType<typeof readAgain>;
  mistakes(): string[];
}

function openStage(name = 'croft.json'): Stage {
  const dir = mkdtempSync(join(tmpdir(), 'croft-again-'));
  const path = join(dir, name);
  const live = createLiveConfig(readConfig(first), { file: path, clock: systemClock });
  const done: string[] = [];
  const deps: ReadAgainDeps = {
    live,
    env: {},
    clock: systemClock,
    log: silentLog,
    metrics: { configurationRead: (mistakes) => void done.push(`${mistakes} mistakes`) },
    prepare: async (config) => void done.push(`prepare ${config.repos.length}`),
    changed: (secrets) => void done.push(`changed, ${secrets.size} secrets`),
    tell: () => void done.push('tell'),
  };
  return {
    live,
    path,
    done,
    read(text, differs = {}) {
      if (text === undefined) rmSync(path);
      else writeFileSync(path, text);
      return readAgain({ path, environment: 'local', files: [path], readAt: 0 }, { ...deps, ...differs }, {});
    },
    mistakes: () => (live.status().problem?.mistakes ?? []).map((mistake) => mistakeText(mistake).replace(dir, '')),
    [Symbol.dispose]: () => rmSync(dir, { recursive: true }),
  };
}

test('a good edit holds after room was made for it; a bad one leaves what holds, and is mended by the next good one', async () => {
  using stage = openStage();
  const { live, done } = stage;
  await stage.read('{ "dataDir": "/srv/farm",\n "repos": [{ "name": "app" }] }');
  assert.deepEqual(stage.mistakes(), ['/croft.json:2: repos.0.url: is missing']);
  assert.equal(live.current().repos[0]?.url, '/srv/app');
  await stage.read('{ "dataDir": "/elsewhere", "repos": [] }');
  assert.deepEqual([live.status().problem, live.current().repos, live.status().restart], [undefined, [], ['dataDir']]);
  assert.equal(live.current().dataDir, '/srv/farm');
  assert.deepEqual(done, ['1 mistakes', 'tell', 'prepare 0', '0 mistakes', 'changed, 0 secrets', 'tell']);
});

test('what cannot be applied, and a file that is gone, are mistakes of the whole', async () => {
  using stage = openStage();
  const prepare = (): never => {
    throw new CroftError('exhausted', 'the disk is full');
  };
  await stage.read('{ "dataDir": "/srv/farm" }', { prepare });
  assert.match(stage.mistakes()[0] ?? '', /could not be applied, save it again to try again: the disk is full$/);
  assert.equal(stage.live.current().repos.length, 1);
  assert.deepEqual((await stage.read(undefined)).files, [stage.path]);
  assert.match(stage.mistakes()[0] ?? '', /reading the configuration .*ENOENT/);
});

test('a secret that cannot be had is a mistake at its line, and its file is watched', async () => {
  using stage = openStage('croft.yaml');
  const text = 'dataDir: /srv/farm\nsecrets:\n  - { name: there, env: THERE }\n  - { name: away, file: away.txt }\n';
  const { files } = await stage.read(text, { env: { THERE: 'long enough' } });
  assert.match(stage.mistakes()[0] ?? '', /^\/croft\.yaml:4: secrets\.1: the file .*away\.txt cannot be read/);
  assert.deepEqual(files, [stage.path, join(stage.path, '..', 'away.txt')]);
  writeFileSync(join(stage.path, '..', 'away.txt'), 'also long\n');
  await stage.read(text, { env: { THERE: 'long enough' } });
  assert.deepEqual([stage.mistakes(), stage.done.includes('changed, 2 secrets')], [[], true]);
});

test('a program’s imports are watched, also one that is missing', async () => {
  using stage = openStage('croft.config.ts');
  const dir = join(stage.path, '..');
  writeFileSync(join(dir, 'repos.ts'), 'export const repos = [];');
  const { files } = await stage.read(
    "import { repos } from './repos.ts';\nimport './more.ts';\nexport default { dataDir: '/srv/farm', repos };",
  );
  assert.deepEqual(new Set(files), new Set([stage.path, join(dir, 'repos.ts'), join(dir, 'more.ts')]));
  assert.match(stage.mistakes()[0] ?? '', /could not be evaluated: .*more\.ts/);
});
