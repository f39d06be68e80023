import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { idlePatterns, isLiteral, matchesPattern, mayHold, selects, withContents } from './pattern.ts';

test('a star stays in its segment, two stars take any number of segments', () => {
  const yes = [
    ['main', 'main'],
    ['release/*', 'release/1.2'],
    ['release-branch.go1.?', 'release-branch.go1.9'],
    ['*', 'main'],
    ['*-race', 'linux-amd64-race'],
    ['**', 'a/b/c'],
    ['docs/**', 'docs/using/builds.md'],
    ['**/*.md', 'README.md'],
    ['**/*.md', 'docs/using/builds.md'],
    ['a/**/z', 'a/z'],
    ['a/**/z', 'a/b/c/z'],
    ['*a*b*', 'xxaxxbxx'],
  ] as const;
  const no = [
    ['main', 'mainline'],
    ['release/*', 'release/1/2'],
    ['release/*', 'release'],
    ['*', 'a/b'],
    ['release-branch.go1.?', 'release-branch.go1.10'],
    ['docs/**', 'src/docs/a'],
    ['**/*.md', 'docs/a.ts'],
    ['a/**/z', 'a/b/y'],
    ['?', '/'],
    ['', 'a'],
    ['.', 'a'],
  ] as const;
  for (const [pattern, text] of yes) assert.ok(matchesPattern(pattern, text), `${pattern} ${text}`);
  for (const [pattern, text] of no) assert.ok(!matchesPattern(pattern, text), `${pattern} ${text}`);
});

/** The same meaning, said with a regular expression, which may take for ever. */
function asRegExp(pattern: string): RegExp {
  const segments = pattern.split('/');
  const one = (segment: string): string =>
    Array.from(segment, (c) => (c === '*' ? '[^/]*' : c === '?' ? '[^/]' : c.replace(/[.\\+^$()[\]{}|]/, '\\$&'))).join('');
  let source = '';
  let slash = '';
  segments.forEach((segment, index) => {
    if (segment !== '**') {
      source += `${slash}${one(segment)}`;
      slash = '/';
    } else if (index === segments.length - 1) source += slash === '' ? '.*' : '(?:/.*)?';
    else if (slash === '') source += '(?:[^/]*/)*';
    else source += '(?:/[^/]*)*';
  });
  return new RegExp(`^${source}$`, 's');
}

test('it means what the regular expression means', () => {
  const pattern = fc
    .array(fc.constantFrom('**', '*', 'a', '?b', 'a*', '*b*', 'ab'), { minLength: 1, maxLength: 4 })
    .map((segments) => segments.filter((segment, index) => segment !== '**' || segments[index - 1] !== '**').join('/'));
  const text = fc.array(fc.constantFrom('a', 'b', 'ab', 'abb', ''), { minLength: 1, maxLength: 5 }).map((segments) => segments.join('/'));
  fc.assert(
    fc.property(pattern, text, (one, other) => assert.equal(matchesPattern(one, other), asRegExp(one).test(other))),
    {
      numRuns: 2_000,
    },
  );
});

test('a hostile text costs no more than a long one', () => {
  assert.equal(matchesPattern(`${'*a'.repeat(50)}b`, 'a'.repeat(5_000)), false);
  assert.equal(matchesPattern(`${'**/a/'.repeat(50)}b`, 'a/'.repeat(2_000)), false);
});

test('a list includes, excludes, and begins with everything when it only excludes', () => {
  assert.ok(selects([], 'anything'));
  assert.ok(selects(['main', 'release/*'], 'release/2'));
  assert.ok(!selects(['main'], 'next'));
  assert.ok(selects(['!wip/**'], 'main') && !selects(['!wip/**'], 'wip/x'));
  assert.ok(!selects(['**', '!wip/**'], 'wip/x') && !selects(['!wip/**', '**'], 'wip/x'));
});

test('what matches nothing is found, and what stands for itself is known', () => {
  assert.deepEqual(idlePatterns(['linux-*', 'windows', '!mac*'], ['linux-x64']), ['windows', '!mac*']);
  assert.deepEqual(['main', 'a*', 'a?', '!a'].map(isLiteral), [true, false, false, false]);
});

test('a directory that is matched brings its contents, or keeps them out', () => {
  const patterns = withContents(['./dist/', 'reports/*.xml', '!dist/tmp']);
  const taken = ['dist', 'dist/a', 'dist/deep/er/b', 'reports/a.xml', 'reports/a.xml/inner'];
  const left = ['distant', 'dist/tmp', 'dist/tmp/x', 'reports/a.txt', 'reports', 'other/dist/a'];
  for (const path of taken) assert.ok(selects(patterns, path), path);
  for (const path of left) assert.ok(!selects(patterns, path), path);
  assert.ok(selects(withContents(['.']), 'any/thing'));
});

test('a walk that enters only directories that may hold something misses nothing', () => {
  const segment = fc.constantFrom('a', 'b', 'ab', '*', '?', '**');
  const pattern = fc
    .tuple(fc.constantFrom('', '!'), fc.array(segment, { minLength: 1, maxLength: 4 }))
    .map(([not, all]) => not + all.join('/'));
  const path = fc.array(fc.constantFrom('a', 'b', 'ab', 'c'), { minLength: 2, maxLength: 5 });
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 3 }), path, (given, names) => {
      const patterns = withContents(given);
      if (!selects(patterns, names.join('/'))) return;
      for (let depth = 1; depth < names.length; depth += 1) assert.ok(mayHold(patterns, names.slice(0, depth).join('/')));
    }),
  );
  assert.ok(!mayHold(withContents(['coverage']), 'node_modules'));
  assert.ok(!mayHold(withContents(['**/*.log', '!node_modules']), 'node_modules'));
  assert.ok(mayHold(withContents(['a/b/*.txt']), 'a'));
});
