import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Cache } from '@croft/domain/job';
import { needFiles, resolveCaches, type KeyFile } from './cache-keys.ts';

const files: readonly KeyFile[] = [
  { path: 'package-lock.json', id: 'a1' },
  { path: 'sub/package-lock.json', id: 'b1' },
  { path: 'go.sum', id: 'c1' },
];

function cache(over: Partial<Cache> = {}): Cache {
  return { name: 'npm', paths: ['node_modules'], key: '', keyFiles: [], fallback: false, maxBytes: 1e9, ...over };
}

const keyOf = (over: Partial<Cache>, of = files): string => resolveCaches([cache(over)], of)[0]?.key ?? '';

test('a key is its text with the contents of the commit’s files in it', () => {
  assert.equal(keyOf({ key: 'v1' }), 'v1');
  assert.match(keyOf({ key: 'v1-{hash:package-lock.json}' }), /^v1-[0-9a-f]{16}$/);
  assert.match(keyOf({ key: '{hash:go.sum}-{hash:**/package-lock.json}-x' }), /^([0-9a-f]{16})-(?!\1)[0-9a-f]{16}-x$/);
  assert.match(keyOf({ keyFiles: ['**/package-lock.json'] }), /^[0-9a-f]{16}$/);
  assert.match(keyOf({ key: 'v1', keyFiles: ['go.sum'] }), /^v1-[0-9a-f]{16}$/);
  assert.deepEqual(
    [needFiles([cache({ key: 'v1' })]), needFiles([cache({ key: '{hash:x}' })]), needFiles([cache({ keyFiles: ['x'] })])],
    [false, true, true],
  );
});

test('it changes with a content, a name and a further file, and with nothing else', () => {
  const key = '{hash:**/package-lock.json}';
  const same = [...files, { path: 'README.md', id: 'new' }];
  assert.equal(keyOf({ key }, same), keyOf({ key }));
  const others = [
    [{ path: 'package-lock.json', id: 'a2' }, ...files.slice(1)],
    [{ path: 'x/package-lock.json', id: 'a1' }, ...files.slice(1)],
    files.slice(1),
    [],
  ];
  const keys = new Set([keyOf({ key }), ...others.map((of) => keyOf({ key }, of))]);
  assert.equal(keys.size, others.length + 1);
});

test('what will do instead begins like the key, up to the first hash', () => {
  const prefixOf = (over: Partial<Cache>): string | undefined => resolveCaches([cache({ fallback: true, ...over })], files)[0]?.prefix;
  assert.equal(prefixOf({ key: 'linux-{hash:go.sum}-{hash:package-lock.json}' }), 'linux-');
  assert.equal(prefixOf({ key: 'v1', keyFiles: ['go.sum'] }), 'v1-');
  assert.equal(prefixOf({ keyFiles: ['go.sum'] }), '');
  assert.equal(prefixOf({ key: 'v1' }), 'v1');
  assert.equal(prefixOf({ key: 'v1', fallback: false }), undefined);
});
