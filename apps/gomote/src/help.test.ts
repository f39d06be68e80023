import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runWith } from '@croft/cli/testing';
import { commandNames, runCli } from './cli.ts';

test('no help tells of a default that is nothing, and of those that are something it does', async () => {
  const pages = await Promise.all(commandNames.map(async (name) => (await runWith(runCli, [name, '--help'])).stdout));
  for (const page of pages) assert.doesNotMatch(page, /default: (?:""|\[\])/);
  const create = pages[commandNames.indexOf('create')] ?? '';
  assert.match(create, /--count <n> +so many at once \(default: "1"\)/);
  assert.match(create, /\(-status=false\s+does not\)\s+\(default: true\)/);
});
