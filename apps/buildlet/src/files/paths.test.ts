import assert from 'node:assert/strict';
import { mkdir, mkdtemp, realpath, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { isCode } from '@croft/runtime/errors';
import { checkRelative, insideOf } from './paths.ts';

test('the rule nativeRel: below the directory after cleaning, with Go’s words (buildlet.md 1.3)', () => {
  for (const [path, clean] of [
    ['a', 'a'],
    ['a/../b', 'b'],
    ['./a//b/', 'a/b'],
    ['.', '.'],
    ['a/..', '.'],
    ['a../x', 'a../x'],
    ['..a', '..a'],
    ['a\\b', 'a\\b'],
  ] as const) {
    assert.equal(checkRelative(path), clean);
  }
  const messages = {
    '': 'path not provided',
    '/x': 'path "/x" is not relative',
    '..': 'path ".." refers to a parent directory',
    'a/../../b': 'path "a/../../b" refers to a parent directory',
  };
  for (const [path, message] of Object.entries(messages)) {
    assert.throws(
      () => checkRelative(path),
      (error) => isCode(error, 'invalid') && error.message === message,
    );
  }
  for (const path of ['a\0b', new URLSearchParams('path=a%ff').get('path') ?? '']) {
    assert.throws(
      () => checkRelative(path),
      (error) => isCode(error, 'invalid'),
    );
  }
});

test('no path of whatever parts, through whatever links, comes out outside of the root', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-paths-'));
  try {
    const root = join(dir, 'root');
    await mkdir(join(root, 'a/b'), { recursive: true });
    await symlink('/etc', join(root, 'out'));
    await symlink('..', join(root, 'a/up'));
    await symlink('../..', join(root, 'a/far'));
    await symlink('loop', join(root, 'loop'));
    await symlink('nowhere', join(root, 'dangling'));
    const real = await realpath(root);
    const part = fc.constantFrom('a', 'b', 'out', 'up', 'far', 'loop', 'dangling', '..', '.', '', 'new', 'passwd');
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 6 }), fc.boolean(), async (parts, absolute) => {
        const path = await insideOf(root, (absolute ? '/' : '') + parts.join('/')).catch(() => undefined);
        if (path !== undefined) assert.ok(path === real || path.startsWith(real + sep), path);
      }),
      { numRuns: 400 },
    );
  } finally {
    await rm(dir, { recursive: true });
  }
});
