import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBuilderName, parseRepoName, parseRevision } from '@croft/domain/names';
import type { Builder } from '@croft/domain/job';
import { anyBuilder } from '@croft/domain/testing';
import { wantedBuilds, type Wanted } from './find-work.ts';

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
