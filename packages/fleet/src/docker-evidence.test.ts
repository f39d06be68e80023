import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainEnd } from './docker-evidence.ts';

const end = { exitCode: 1, outOfMemory: false, error: '', said: '' };

test('the end of a container is told with its cause and what is telling of what it said', () => {
  assert.equal(explainEnd({ ...end, exitCode: 0 }), 'its container ended with exit code 0');
  assert.equal(explainEnd({ ...end, exitCode: 139 }), 'its container ended with exit code 139, signal 11');
  assert.equal(explainEnd({ ...end, exitCode: 137, outOfMemory: true }), 'its container ran out of memory and was killed (exit code 137)');
  assert.equal(explainEnd({ ...end, exitCode: 128, error: 'no such device' }), 'its container could not be started: no such device');
  assert.equal(
    explainEnd({ ...end, said: `up\nfile:///a.mjs:1\nSyntaxError: bad\n${'    at b\n'.repeat(100)}` }).slice(0, 90),
    'its container ended with exit code 1; the last it said: SyntaxError: bad at b at b at b at',
  );
  assert.match(explainEnd({ ...end, said: `${'a'.repeat(1_000)} the end` }), /: a{392} the end$/);
});
