/** Kernel groups that serve one command after the other: only those in which nothing lives, and none is left behind. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { findGroupHome, groupMembers } from './groups.ts';
import { createTrees, type TreeMark, type Trees } from './trees.ts';

const probeName = `croft-places-probe-${process.pid}`;
const skip = findGroupHome(probeName) ? false : 'needs a cgroup hierarchy that this user may write to';
let names = 0;

function lend(trees: Trees): { mark: TreeMark; path: string } {
  const name = `croft-places-${process.pid}-${(names += 1)}`;
  const mark = trees.lend(name, `places:${name}`);
  return { mark, path: mark.group?.path ?? assert.fail('it has no group') };
}

function start(trees: Trees, mark: TreeMark, argv: readonly [string, ...string[]]): ChildProcess {
  const [program, ...args] = argv;
  return trees.spawnInside(mark, () => spawn(program, args, { stdio: 'ignore', env: {}, detached: true }), 'process');
}

test('a place in which nothing lives any more is the next one’s', { skip }, async () => {
  using trees = createTrees({ clock: systemClock, probeName });
  const first = lend(trees);
  await once(start(trees, first.mark, ['/bin/true']), 'exit');
  assert.deepEqual(await trees.fell(first.mark, undefined), []);
  const second = lend(trees);
  assert.equal(second.path, first.path);
  const child = start(trees, second.mark, ['/bin/sleep', '1000']);
  assert.deepEqual(groupMembers(second.path), [child.pid]);
  assert.deepEqual(await trees.fell(first.mark, undefined), [], 'the first one is over, whoever asks again');
  assert.deepEqual(groupMembers(second.path), [child.pid]);
  assert.deepEqual(await trees.fell(second.mark, child.pid), []);
});

test('two commands at once have two places', { skip }, async () => {
  using trees = createTrees({ clock: systemClock, probeName });
  const [one, other] = [lend(trees), lend(trees)];
  assert.notEqual(one.path, other.path);
  for (const { mark } of [one, other]) assert.deepEqual(await trees.fell(mark, undefined), []);
});

test('a place that had to be emptied is removed and not lent again, also when it is felled twice at once', { skip }, async () => {
  using trees = createTrees({ clock: systemClock, probeName });
  const { mark, path } = lend(trees);
  const child = start(trees, mark, ['/bin/sh', '-c', 'sleep 1000 & sleep 1000']);
  const exit = once(child, 'exit');
  const felled = [trees.fell(mark, child.pid), trees.fell(mark, child.pid)];
  assert.deepEqual(await Promise.all(felled), [[], []]);
  assert.deepEqual(await exit, [null, 'SIGKILL']);
  assert.ok(!existsSync(path));
  assert.notEqual(lend(trees).path, path);
});

test('a place with a group of the command’s own below it is removed', { skip }, async () => {
  using trees = createTrees({ clock: systemClock, probeName });
  const { mark, path } = lend(trees);
  mkdirSync(join(path, 'its-own'));
  assert.deepEqual(await trees.fell(mark, undefined), []);
  assert.ok(!existsSync(path));
});

test('places that wait are removed at the end, and few wait', { skip }, async () => {
  const paths: string[] = [];
  {
    using trees = createTrees({ clock: systemClock, probeName });
    const lent = Array.from({ length: 10 }, () => lend(trees));
    for (const { mark, path } of lent) {
      assert.deepEqual(await trees.fell(mark, undefined), []);
      paths.push(path);
    }
    assert.equal(paths.filter((path) => existsSync(path)).length, 4);
  }
  assert.deepEqual(
    paths.filter((path) => existsSync(path)),
    [],
  );
});
