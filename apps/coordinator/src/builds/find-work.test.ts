import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBuilderName, parseRepoName, parseRevision } from '@croft/domain/names';
import type { Builder } from '@croft/domain/job';
import { missingBuilds } from './find-work.ts';

const repo = parseRepoName('app');
const [newest, older] = ['a', 'b'].map((digit) => parseRevision(digit.repeat(40))) as [
  ReturnType<typeof parseRevision>,
  ReturnType<typeof parseRevision>,
];

function builder(name: string, of = repo): Builder {
  return {
    name: parseBuilderName(name),
    repo: of,
    steps: 'detect',
    env: {},
    needs: { labels: [] },
    isolation: 'none',
    trust: 'trusted',
    outputs: [],
    retention: { logAgeMs: 1, logBytes: 1 },
    source: { submodules: false, lfs: false },
  };
}

test('every builder of the repository gets every commit, the newest first and in a better band', () => {
  const found = missingBuilds(
    { repo, branch: 'main', revisions: [newest, older] },
    [builder('x'), builder('y'), builder('z', parseRepoName('other'))],
    new Set(),
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

test('finding work twice finds nothing the second time', () => {
  const head = { repo, branch: 'main', revisions: [newest, older] };
  const first = missingBuilds(head, [builder('x')], new Set());
  assert.deepEqual(missingBuilds(head, [builder('x')], new Set(first.map((build) => build.id))), []);
});

test('the same commit on another branch is the same build', () => {
  const on = (branch: string) => missingBuilds({ repo, branch, revisions: [newest] }, [builder('x')], new Set())[0]?.id;
  assert.equal(on('main'), on('release'));
});
