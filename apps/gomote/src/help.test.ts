import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runWith } from '@croft/cli/testing';
import { release } from '@croft/runtime/release';
import { commandNames, runCli } from './cli.ts';
import { openTestFarm } from './testing.ts';

test('-version tells the release, but not where it is an option of a command that is run', async () => {
  for (const words of [['--version'], ['-version'], ['create', '-version']]) {
    const { status, stdout } = await runWith(runCli, words);
    assert.deepEqual([status, stdout], [0, `gomote ${release}\n`], words.join(' '));
  }
  await using farm = await openTestFarm();
  await farm.gomote(['create', 'linux']);
  assert.equal((await farm.gomote(['run', 'ann-linux-0', 'sh', '-c', 'echo "$1"', 'sh', '--version'])).stdout, '--version\n');
});

test('no help tells of a default that is nothing, and of those that are something it does', async () => {
  const pages = await Promise.all(commandNames.map(async (name) => (await runWith(runCli, [name, '--help'])).stdout));
  for (const page of pages) assert.doesNotMatch(page, /default: (?:""|\[\])/);
  const create = pages[commandNames.indexOf('create')] ?? '';
  assert.match(create, /--count <n> +so many at once \(default: "1"\)/);
  assert.match(create, /\(-status=false\s+does not\)\s+\(default: true\)/);
});
