import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { literalPlaces, withoutComments } from './literal-places.ts';
import { nearestName } from './nearest-name.ts';

test('every part of a JSON text is found in its line', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      const text = JSON.stringify(value, null, 1);
      const { lineOf } = literalPlaces(text);
      const lines = text.split('\n');
      const visit = (part: unknown, path: (string | number)[]): void => {
        if (part === null || typeof part !== 'object') return;
        for (const [key, inner] of Object.entries(part)) {
          const at: (string | number)[] = [...path, Array.isArray(part) ? Number(key) : key];
          const line = lines[(lineOf(at) ?? 0) - 1] ?? '';
          const wanted: string = Array.isArray(part) ? (JSON.stringify(inner)[0] ?? '') : JSON.stringify(key);
          assert.ok(line.trim().startsWith(wanted), `${JSON.stringify(at)} in ${line}`);
          visit(inner, at);
        }
      };
      visit(value, []);
    }),
  );
});

test('whatever a program looks like, a place is found in it', () => {
  const part = fc.constantFrom(
    'export default ',
    'const a = ',
    '{',
    '}',
    '[',
    ']',
    '(',
    ')',
    ',',
    ':',
    'a',
    '...',
    '"s"',
    "'",
    '`',
    '/*',
    '//',
    '\n',
    '=> ',
    ';',
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 40 }), (parts) => {
      const text = parts.join('');
      const line = literalPlaces(text).lineOf(['a', 0, 'a'], 's') ?? 0;
      assert.ok(line >= 1 && line <= text.split('\n').length);
    }),
    { numRuns: 1_000 },
  );
});

test('constants are followed by their names, and what is computed is found by what it says', () => {
  const text = `const hosts: Host[] = [
  { name: 'a' },
  { name: 'b', labels },
];
const made = names.map((name) => ({
  hostType: 'odd',
}));
export default defineConfig({
  hosts,
  builders: [...made, { name: 'x' }],
});`;
  const { lineOf } = literalPlaces(text);
  assert.equal(lineOf(['hosts', 1, 'labels']), 3);
  assert.equal(lineOf(['builders', 0, 'hostType'], 'odd'), 6);
  assert.equal(lineOf(['builders', 7, 'hostType'], 'even'), 10);
  assert.equal(lineOf([]), 8);
});

test('comments and last commas go, and nothing moves', () => {
  const text = '{ "a": "// no /* comment", // yes\n "b": [1, 2, ], /* , */ }';
  const bare = withoutComments(text);
  assert.equal(bare.length, text.length);
  assert.deepEqual(JSON.parse(bare), { a: '// no /* comment', b: [1, 2] });
});

test('the nearest name is the one that was probably meant', () => {
  const names = ['linux-amd64', 'linux-arm64', 'windows', 'dataDir'];
  const meant = { 'linux-amd46': 'linux-amd64', windos: 'windows', Datadir: 'dataDir', dataDri: 'dataDir', mac: undefined, '': undefined };
  for (const [text, name] of Object.entries(meant)) assert.equal(nearestName(text, names), name, text);
});
