import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TreeEntry } from '@croft/buildlet/client';
import fc from 'fast-check';
import type { LocalEntry } from './local-tree.ts';
import { planPush, readRemote } from './plan.ts';

/** A tree as paths to what they are: `d`, `l:TARGET`, or `f:MODE:CONTENT`. */
type Tree = ReadonlyMap<string, string>;

const names = fc.constantFrom('a', 'b', 'é', 'keep');
const paths = fc.array(names, { minLength: 1, maxLength: 3 }).map((parts) => Buffer.from(parts.join('/')).toString('latin1'));
const things = fc.oneof(
  fc.constant('d'),
  fc.constantFrom('l:a', 'l:../b', 'l:b/../../x'),
  fc.tuple(fc.constantFrom('644', '755', '444'), fc.constantFrom('one', 'two')).map(([mode, content]) => `f:${mode}:${content}`),
);
const trees = fc.array(fc.tuple(paths, things), { maxLength: 12 }).map(treeOf);

/** What cannot be is left out: something below a file. */
function treeOf(entries: readonly (readonly [string, string])[]): Tree {
  const tree = new Map<string, string>();
  for (const [path, thing] of entries) {
    const above = parentsOf(path);
    if (above.some((one) => (tree.get(one) ?? 'd') !== 'd') || tree.has(path)) continue;
    for (const one of above) tree.set(one, 'd');
    tree.set(path, thing);
  }
  return new Map([...tree].toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

function parentsOf(path: string): string[] {
  const parts = path.split('/').slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
}

function isEmpty(path: string, tree: Tree): boolean {
  return ![...tree.keys()].some((other) => other.startsWith(`${path}/`));
}

async function* locals(tree: Tree): AsyncGenerator<readonly LocalEntry[]> {
  for (const [path, thing] of tree) {
    const [kind, mode = '', content = ''] = thing.split(':');
    if (kind === 'd') yield [{ kind: 'directory', path, isEmpty: isEmpty(path, tree) }];
    else if (kind === 'l') yield [{ kind: 'link', path, target: mode }];
    else yield [{ kind: 'file', path, mode: Number.parseInt(mode, 8), sizeBytes: content.length, stamp: content, changedAt: 0 }];
  }
}

async function* remotes(tree: Tree): AsyncGenerator<readonly TreeEntry[]> {
  for (const [path, thing] of tree) {
    const [kind, mode = '', content = ''] = thing.split(':');
    if (kind === 'd') yield [{ kind: 'directory', path, mode: 0o755 }];
    else if (kind === 'l') yield [{ kind: 'link', path, target: mode }];
    else yield [{ kind: 'file', path, mode: Number.parseInt(mode, 8), sizeBytes: content.length, digest: content }];
  }
}

const needs = {
  /** Of large files later. */
  digestOf: ({ path, stamp }: { path: string; stamp: string }): string | Promise<string> =>
    path.endsWith('a') ? Promise.resolve(stamp) : stamp,
  keeps: async (path: string): Promise<boolean> => path.endsWith('keep'),
  isWorkDir: false,
};

const isBelow = (path: string, top: string): boolean => path === top || path.startsWith(`${top}/`);

test('carried out, a plan makes what is there like what is here, and keeps what is kept; a second one has nothing to do', async () => {
  await fc.assert(
    fc.asyncProperty(trees, trees, async (here, there) => {
      const plan = await planPush(locals(here), await readRemote(remotes(there)), needs);
      const after = new Map(there);
      for (const top of plan.remove) for (const path of after.keys()) if (isBelow(path, top)) after.delete(path);
      for (const entry of plan.send) {
        for (const above of parentsOf(entry.path)) assert.equal(after.get(above) ?? 'd', 'd', `${above} is in the way`);
        assert.ok(entry.kind !== 'directory' || !after.has(entry.path));
        const before = after.get(entry.path);
        const written = here.get(entry.path) ?? '';
        // A file that is there keeps its mode; a directory in its place would not go away.
        if (before !== undefined) assert.ok(before[0] === written[0] && (before[0] !== 'f' || before.slice(0, 6) === written.slice(0, 6)));
        for (const above of parentsOf(entry.path)) after.set(above, 'd');
        after.set(entry.path, written);
      }
      const leftOut = new Set(plan.leftOut.map(({ path }) => path));
      const again = await planPush(
        locals(here),
        await readRemote(remotes(new Map([...after].toSorted(([a], [b]) => (a < b ? -1 : 1))))),
        needs,
      );
      assert.deepEqual([again.send, again.remove], [[], []]);
      for (const [path, thing] of here) {
        if (leftOut.has(path) || (thing === 'd' && !isEmpty(path, here))) continue;
        assert.equal(after.get(path), thing);
      }
      for (const path of there.keys()) {
        if (path.endsWith('keep') && !here.has(path) && parentsOf(path).every((one) => (here.get(one) ?? 'd') === 'd'))
          assert.ok(after.has(path), path);
      }
    }),
    { numRuns: 500 },
  );
});

test('a name that the machine composes otherwise is the same name', async () => {
  const there = treeOf([[Buffer.from('e\u0301').toString('latin1'), 'f:644:one']]);
  const here = (content: string): Tree => treeOf([[Buffer.from('\u00e9').toString('latin1'), `f:644:${content}`]]);
  const same = await planPush(locals(here('one')), await readRemote(remotes(there)), needs);
  assert.deepEqual([same.send, same.remove], [[], []]);
  const other = await planPush(locals(here('two')), await readRemote(remotes(there)), needs);
  assert.deepEqual([other.send.length, other.remove], [1, []]);
});

test('from the top of the work directory nothing is removed that nobody sent', async () => {
  const there = treeOf([
    ['tmp/x', 'f:644:one'],
    ['app/gone', 'f:644:one'],
    ['app/kept', 'f:644:one'],
  ]);
  const plan = await planPush(locals(treeOf([['app/kept', 'f:644:one']])), await readRemote(remotes(there)), { ...needs, isWorkDir: true });
  assert.deepEqual([plan.send, plan.remove], [[], ['app/gone']]);
});
