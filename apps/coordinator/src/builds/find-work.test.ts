import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBuilderName, parseRepoName, parseRevision } from '@croft/domain/names';
import type { Builder } from '@croft/domain/job';
import { wantedBuilds } from './find-work.ts';

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
  const found = wantedBuilds({ repo, branch: 'main', revisions: [newest, older] }, [
    builder('x'),
    builder('y'),
    builder('z', parseRepoName('other')),
  ]);
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
  assert.deepEqual(wantedBuilds(head, [builder('x')]), wantedBuilds(head, [builder('x')]));
});

test('the same commit on another branch is the same build', () => {
  const on = (branch: string) => wantedBuilds({ repo, branch, revisions: [newest] }, [builder('x')])[0]?.id;
  assert.equal(on('main'), on('release'));
});
