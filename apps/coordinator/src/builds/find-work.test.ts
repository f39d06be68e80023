import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBuilderName, parseRepoName, parseRevision } from '@croft/domain/names';
import type { Builder } from '@croft/domain/job';
import { anyBuilder } from '@croft/domain/testing';
import { asksForPaths, eachOnce, wantedBuilds, type Wanted } from './find-work.ts';

const repo = parseRepoName('app');
const [newest, older] = ['a', 'b'].map((digit) => parseRevision(digit.repeat(40))) as [
  ReturnType<typeof parseRevision>,
  ReturnType<typeof parseRevision>,
];

const anyRule = { builders: [], repos: [], branches: [], toolchainBranches: [], paths: [], triggers: [], tests: [] };
const builder = (name: string, differs: Partial<Builder> = {}): Builder =>
  anyBuilder({ name: parseBuilderName(name), repos: [repo], ...differs });
const wanted = (...builders: Builder[]): Wanted => ({ builders, policies: [] });

test('every builder of the repository gets every commit, the newest first and in a better band', () => {
  const found = wantedBuilds(
    { repo, branch: 'main', revisions: [newest, older] },
    wanted(builder('x'), builder('y'), builder('z', { repos: [parseRepoName('other')] })),
  );
  assert.deepEqual(
    found.map((build) => [build.builder, build.revisions[0]?.revision[0], build.band]),
    [
      ['x', 'a', 'post-submit'],
      ['y', 'a', 'post-submit'],
      ['x', 'b', 'back-fill'],
      ['y', 'b', 'back-fill'],
    ],
  );
});

test('the same commit gives the same build for ever', () => {
  const head = { repo, branch: 'main', revisions: [newest, older] };
  assert.deepEqual(wantedBuilds(head, wanted(builder('x'))), wantedBuilds(head, wanted(builder('x'))));
});

test('the same commit on another branch is the same build', () => {
  const on = (branch: string) => wantedBuilds({ repo, branch, revisions: [newest] }, wanted(builder('x')))[0]?.id;
  assert.equal(on('main'), on('release'));
});

test('a builder’s own branches and the farm’s rules decide what it builds', () => {
  const builders = [builder('main-only', { branches: ['main'] }), builder('all')];
  const policies = [{ ...anyRule, allow: false, builders: ['all'], branches: ['release/*'] }];
  const on = (branch: string) => wantedBuilds({ repo, branch, revisions: [newest] }, { builders, policies }).map((build) => build.builder);
  assert.deepEqual([on('main'), on('next'), on('release/1')], [['main-only', 'all'], ['all'], []]);
});

test('a builder says where its tips queue; older commits wait behind, and benchmarks with their own', () => {
  const head = { repo, branch: 'main', revisions: [newest, older] };
  const bands = wantedBuilds(head, wanted(builder('x', { priority: 'release' }), builder('y', { priority: 'benchmark' }))).map(
    (build) => build.band,
  );
  assert.deepEqual(bands, ['release', 'benchmark', 'back-fill', 'benchmark']);
});

test('a commit that changes nothing that a builder or the repository asks for is not built; what it changes may be unknown', () => {
  const paths = new Map([
    [newest, ['docs/a.md']],
    [older, ['src/a.ts', 'docs/a.md']],
  ]);
  const head = { repo, branch: 'main', revisions: [newest, older], paths };
  const names = (all: Wanted, on = head): string[] => wantedBuilds(on, all).map((build) => build.builder + build.revisions[0]?.revision[0]);
  const both = wanted(builder('all'), builder('code', { paths: ['src/**'] }));
  assert.deepEqual(names(both), ['alla', 'allb', 'codeb']);
  assert.deepEqual(names({ ...both, paths: ['**', '!docs/**'] }), ['allb', 'codeb']);
  assert.deepEqual(names(both, { ...head, paths: new Map() }), ['alla', 'codea', 'allb', 'codeb']);
  const onlyWords = { ...anyRule, allow: false, paths: ['docs/**'] };
  assert.deepEqual(names({ ...both, policies: [onlyWords] }), ['allb', 'codeb']);
  const empty = { ...head, paths: new Map([[newest, []]]) };
  assert.deepEqual(names(wanted(builder('all'), builder('code', { paths: ['**'] })), empty), ['alla', 'allb', 'codeb']);
});

test('paths are asked for where something depends on them', () => {
  assert.equal(asksForPaths(repo, wanted(builder('x'), builder('y', { repos: [parseRepoName('other')], paths: ['a'] }))), false);
  assert.equal(asksForPaths(repo, wanted(builder('x', { paths: ['a'] }))), true);
  assert.equal(asksForPaths(repo, { ...wanted(), paths: ['a'] }), true);
  assert.equal(asksForPaths(repo, { ...wanted(), policies: [{ ...anyRule, allow: false, paths: ['a'] }] }), true);
});

test('commits that are settled are left out, and the others keep their age', () => {
  const head = { repo, branch: 'main', revisions: [newest, older] };
  const bands = (settled: ReadonlySet<typeof newest>): string[] =>
    wantedBuilds({ ...head, settled }, wanted(builder('x'))).map((build) => build.band);
  assert.deepEqual(bands(new Set([newest])), ['back-fill']);
  assert.deepEqual(bands(new Set([older])), ['post-submit']);
});

test('a commit that is the tip of one branch does not wait behind it because another has it too', () => {
  const builders = wanted(builder('x'));
  const main = wantedBuilds({ repo, branch: 'main', revisions: [newest, older] }, builders);
  const release = wantedBuilds({ repo, branch: 'release', revisions: [older] }, builders);
  const found = eachOnce([...main, ...release]).map((build) => [build.revisions[0]?.revision[0], build.band, build.trigger.ref]);
  assert.deepEqual(found, [
    ['a', 'post-submit', 'main'],
    ['b', 'post-submit', 'release'],
  ]);
});

test('with toolchains the tip is built with each of their tips, what is behind it with the first, where it was never built with any', () => {
  const compiler = parseRepoName('compiler');
  const toolchains = ['main', 'next'].map((branch, n) => ({ repo: compiler, branch, revision: parseRevision(String(n + 1).repeat(40)) }));
  const head = { repo, branch: 'main', revisions: [newest, older], toolchains };
  const looks = (wish: Wanted, differs: object = {}): unknown[] =>
    wantedBuilds({ ...head, ...differs }, wish).map(({ builder: name, revisions, fills = false }) => [
      name,
      revisions.map(({ revision }) => revision[0]).join(''),
      fills,
    ]);
  assert.deepEqual(looks(wanted(builder('x'))), [
    ['x', 'a1', false],
    ['x', 'b1', true],
    ['x', 'a2', false],
  ]);
  assert.deepEqual(
    looks(wanted(builder('x')), { settled: new Set([newest, older]) }),
    [
      ['x', 'a1', false],
      ['x', 'a2', false],
    ],
    'a toolchain that moved concerns the tip alone',
  );
  const policies = [{ ...anyRule, allow: false, toolchainBranches: ['next'] }];
  assert.deepEqual(looks({ builders: [builder('x')], policies }, { revisions: [newest] }), [['x', 'a1', false]]);
  assert.deepEqual(looks(wanted(builder('x')), { toolchains: [] }), [], 'nothing before the first look at its toolchain');
});

test('a toolchain itself is built alone, and rules know its branch as the toolchain’s', () => {
  const policies = [{ ...anyRule, allow: false, toolchainBranches: ['old'] }];
  const dependents = [{ toolchain: repo, repos: [parseRepoName('other')], branches: [] }];
  const of = (branch: string): number =>
    wantedBuilds({ repo, branch, revisions: [newest] }, { builders: [builder('x')], policies, dependents }).length;
  assert.deepEqual([of('main'), of('old')], [1, 0]);
});
