import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Command } from 'commander';
import fc from 'fast-check';
import { withGoFlags } from './go-flags.ts';

function program(): Command {
  const root = new Command('gomote').option('--group <name>').option('--json');
  root.command('create').option('--count <n>').option('--status').option('--no-status').option('--list');
  root.command('run').option('-e <name=value>').option('--dir <dir>').option('--debug');
  root.command('ls').option('-R').option('-d');
  root.command('group').command('add');
  return root;
}

const read = (line: string): string => withGoFlags(program(), line.split(' ')).join(' ');

describe('options as Go writes them', () => {
  test('one dash or two, with = or without', () => {
    assert.equal(read('create -count 3 linux'), 'create --count 3 linux');
    assert.equal(read('create -count=3 -list linux'), 'create --count=3 --list linux');
    assert.equal(read('create --count -3 linux'), 'create --count -3 linux');
    assert.equal(read('ls -R -d inst dir'), 'ls -R -d inst dir');
  });

  test('switches that are turned off', () => {
    assert.equal(read('create -status=false linux'), 'create --no-status linux');
    assert.equal(read('create -status=1 -list=0 linux'), 'create --status linux');
  });

  test('those of the program come first', () => {
    assert.equal(read('create linux -group g --json'), '--group g --json create linux');
    assert.equal(read('group add -group g inst'), '--group g group add inst');
  });

  test('what is behind the first word of a command of somebody else stays as it is', () => {
    assert.equal(read('run -e A=b -dir x inst make -debug -group x'), 'run -e A=b --dir x inst make -debug -group x');
    assert.equal(read('run -- -debug'), 'run -- -debug');
    assert.equal(read('create -unknown x'), 'create -unknown x');
  });

  test('no word is lost or made, whatever is typed', () => {
    const word = fc.oneof(fc.constantFrom('create', 'run', '-count', '-e', '-group', '--', '-', 'x', '-dir', '--json'), fc.string());
    fc.assert(
      fc.property(fc.array(word), (words) => {
        const kept = withGoFlags(program(), words);
        const bare = (list: readonly string[]): string[] => list.map((one) => one.replace(/^-+/, '')).toSorted();
        if (words.some((one) => one.includes('='))) return; // a switch may become another, or nothing
        assert.deepEqual(bare(kept), bare(words));
      }),
    );
  });
});
