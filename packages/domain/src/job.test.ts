import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { buildId, configHash, type Builder, type BuildKey } from './job.ts';
import { parseBuilderName, parseBuildId, parseRepoName, parseRevision } from './names.ts';
import { anyBuilder } from './testing.ts';

const croft = { repo: parseRepoName('croft'), revision: parseRevision('a'.repeat(40)) };
const tools = { repo: parseRepoName('tools'), revision: parseRevision('b'.repeat(40)) };
const key: BuildKey = { builder: parseBuilderName('unit'), revisions: [croft], trigger: { kind: 'branch', ref: 'main' } };

test('the same key gives the same id for ever', () => {
  assert.equal(buildId(key), buildId(structuredClone(key)));
  assert.equal(buildId(key), 'B0681a3f4c30f47a9');
  assert.equal(parseBuildId(buildId(key)), buildId(key));
});

test('a commit on two branches is one build', () => {
  assert.equal(buildId({ ...key, trigger: { kind: 'branch', ref: 'release' } }), buildId(key));
});

test('who asks does not matter, that somebody asks does', () => {
  const asked = buildId({ ...key, trigger: { kind: 'asked', ref: 'ann' } });
  assert.equal(buildId({ ...key, trigger: { kind: 'asked', ref: 'bob' } }), asked);
  assert.notEqual(asked, buildId(key));
});

test('whatever else differs makes another build', () => {
  const others: BuildKey[] = [
    key,
    { ...key, builder: parseBuilderName('checks') },
    { ...key, revisions: [{ ...croft, revision: tools.revision }] },
    { ...key, revisions: [{ ...croft, repo: tools.repo }] },
    { ...key, revisions: [croft, tools] },
    { ...key, revisions: [tools, croft] },
    { ...key, trigger: { kind: 'change', ref: '1' } },
    { ...key, trigger: { kind: 'change', ref: '2' } },
    { ...key, trigger: { kind: 'change', ref: '' } },
    { ...key, trigger: { kind: 'asked', ref: '1' } },
  ];
  assert.equal(new Set(others.map(buildId)).size, others.length);
});

test('text cannot move from one part of the key into another', () => {
  const part = fc.stringMatching(/^[a-c".,]{1,4}$/);
  const parts = fc.record({ builder: part, change: part, repo: part, revision: part });
  const idOf = (one: { builder: string; change: string; repo: string; revision: string }): string =>
    buildId({
      builder: one.builder as BuildKey['builder'],
      revisions: [{ repo: one.repo as typeof croft.repo, revision: one.revision as typeof croft.revision }],
      trigger: { kind: 'change', ref: one.change },
    });
  fc.assert(fc.property(parts, parts, (a, b) => assert.equal(idOf(a) === idOf(b), JSON.stringify(a) === JSON.stringify(b))));
});

const builder = anyBuilder({
  name: parseBuilderName('unit'),
  repos: [parseRepoName('croft')],
  steps: [{ name: 'test', role: 'run-tests', argv: ['npm', 'test'], env: { A: '1', B: '2' }, dir: '.', limitMs: 60_000 }],
  env: { CI: 'true', LANG: 'C' },
  needs: { labels: ['linux'] },
});

/** The same value with the keys of every object turned round. */
function reversed<T>(value: T): T {
  if (Array.isArray(value)) return value.map(reversed) as T;
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([name, inner]) => [name, reversed(inner)]),
  ) as T;
}

test('the order of keys does not change the hash of a configuration, nor does a trip through JSON', () => {
  assert.notEqual(JSON.stringify(reversed(builder)), JSON.stringify(builder));
  assert.equal(configHash(reversed(builder)), configHash(builder));
  assert.equal(configHash(JSON.parse(JSON.stringify(builder)) as Builder), configHash(builder));
  const unset = { ...builder, needs: { labels: ['linux'], cpus: undefined } } as unknown as Builder;
  assert.equal(configHash(unset), configHash(builder));
  assert.match(configHash(builder), /^[0-9a-f]{16}$/);
});

test('names, and when or what it builds, do not decide how something is built', () => {
  const others: Partial<Builder>[] = [
    { name: parseBuilderName('other') },
    { repos: [parseRepoName('tools')] },
    { retention: { logAgeMs: 9, logBytes: 9, artifactBytes: 9 } },
    { priority: 'release' },
    { branches: ['main'] },
    { paths: ['src/**'] },
    { knownIssues: ['https://example.org/1'] },
    { variant: { os: 'linux' } },
  ];
  for (const other of others) assert.equal(configHash({ ...builder, ...other }), configHash(builder), JSON.stringify(other));
});

test('everything else does', () => {
  const [step] = builder.steps === 'detect' ? [] : builder.steps;
  assert.ok(step);
  const others: Builder[] = [
    builder,
    { ...builder, hostType: 'linux-x64' },
    { ...builder, secrets: { TOKEN: 'npm' } },
    { ...builder, caches: [{ name: 'npm', paths: ['node_modules'], key: '', keyFiles: [], fallback: false, maxBytes: 1 }] },
    { ...builder, steps: 'detect' },
    { ...builder, steps: [{ ...step, argv: ['npm', 'run', 'test'] }] },
    { ...builder, steps: [{ ...step, argv: ['npm test'] }] },
    { ...builder, steps: [{ ...step, limitMs: 1 }] },
    { ...builder, steps: [step, step] },
    { ...builder, env: { CI: 'true' } },
    { ...builder, env: { CI: 'true', LANG: 'C.UTF-8' } },
    { ...builder, needs: { labels: [] } },
    { ...builder, needs: { labels: ['linux'], cpus: 2 } },
    { ...builder, isolation: 'vm' },
    { ...builder, trust: 'untrusted' },
    { ...builder, artifacts: [{ name: 'dist', paths: ['dist/**'], when: 'passed', required: false, maxBytes: 1, keepMs: 1 }] },
    { ...builder, source: { submodules: true, lfs: false } },
  ];
  assert.equal(new Set(others.map(configHash)).size, others.length);
});
