import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { idlePatterns, isLiteral, matchesPattern, selects } from './pattern.ts';

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
