import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { isBranchName } from './branch-name.ts';

const git = (name: string): boolean => spawnSync('git', ['check-ref-format', `refs/heads/${name}`]).status === 0;

test('what git takes as the name of a branch is taken, and what it refuses is refused', () => {
  const part = fc.constantFrom('a', 'é', '.', '..', '/', '@', '{', '~', '^', ':', '?', '*', '[', '\\', ' ', '\t', '.lock', '-');
  const names = fc.sample(
    fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('')),
    { numRuns: 150, seed: 7 },
  );
  for (const name of names.filter((each) => !each.startsWith('-')))
    assert.equal(isBranchName(name), git(name) && name !== '@', JSON.stringify(name));
});

test('what a program could take for an option, and what stands for something else, is no name', () => {
  for (const name of ['-f', '--upload-pack=x', 'HEAD', '@', '', 'a'.repeat(256)]) assert.equal(isBranchName(name), false);
});
