import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfigInput } from '@croft/config/define-config';
import { readConfig } from '@croft/config/read-config';
import { compareConfigs } from './compare-configs.ts';

const base: ConfigInput = {
  dataDir: '/srv/farm',
  databaseUrl: 'postgres://ci:first@db/croft',
  repos: [{ name: 'app', url: '/srv/app' }],
  builders: ['unit', 'bench', 'lint'].map((name) => ({ name, repo: 'app' })),
};

test('what can change holds and is told by name; what cannot stays as it is and is told, too', () => {
  const after = readConfig({
    ...base,
    port: 9,
    anonymous: 'viewer',
    databaseUrl: 'postgres://ci:second@db/croft',
    outputLimitBytes: '1GB',
    builders: ['unit', 'lint', 'more'].map((name) => ({ name, repo: 'app', ...(name === 'lint' ? { priority: 'release' as const } : {}) })),
  });
  const { config, changes, restart } = compareConfigs(readConfig(base), after);
  assert.deepEqual(changes, ['builders: +more -bench ~lint', 'outputLimitBytes']);
  assert.deepEqual(restart, ['databaseUrl', 'port', 'anonymous']);
  assert.deepEqual(
    [config.port, config.anonymous, config.databaseUrl?.reveal(), config.outputLimitBytes, config.builders.length],
    [8119, 'none', 'postgres://ci:first@db/croft', 1e9, 3],
  );
});

test('the same configuration changes nothing', () => {
  const { changes, restart } = compareConfigs(readConfig(base), readConfig(base));
  assert.deepEqual([changes, restart], [[], []]);
});

test('of many names the first are told', () => {
  const after = readConfig({ ...base, builders: Array.from({ length: 50 }, (_, n) => ({ name: `b${n}`, repo: 'app' })) });
  assert.match(compareConfigs(readConfig(base), after).changes[0] ?? '', /^builders: \+b0 .* \+b19 and 33 more$/);
});
