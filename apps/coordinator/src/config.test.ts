import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { readArguments } from './config.ts';

test('the command line names the configuration and the environment, which is local unless it says so', () => {
  assert.deepEqual(readArguments(['--config', 'a.ts']), { configFile: 'a.ts', environment: 'local' });
  assert.deepEqual(readArguments(['--config=a.ts', '--env', 'staging']), { configFile: 'a.ts', environment: 'staging' });
});

test('anything else is refused with the usage', () => {
  for (const args of [[], ['--env', 'local'], ['--config', 'a', '--env', 'prod'], ['--confg', 'a'], ['a.ts']]) {
    assert.throws(
      () => readArguments(args),
      (error) => isCode(error, 'invalid') && /--config FILE/.test(error.hint ?? ''),
      args.join(' '),
    );
  }
});
