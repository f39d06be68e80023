import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secret } from '@croft/runtime/config';
import { isCode } from '@croft/runtime/errors';
import { keepSecrets } from './keep-secrets.ts';

const of = (values: Readonly<Record<string, string>>): Map<string, Secret> =>
  new Map(Object.entries(values).map(([name, value]) => [name, new Secret(value)]));

test('a variable gets the secret that it names, or the step is told which one is not there', () => {
  const keeper = keepSecrets(of({ npm: 'npm-token' }));
  assert.deepEqual(keeper.variables({ NPM_TOKEN: 'npm' }), { NPM_TOKEN: 'npm-token' });
  assert.throws(
    () => keeper.variables({ A: 'other' }),
    (error) => isCode(error, 'not-found') && /"other"/.test(error.message),
  );
});

test('after a change the new value is given, and both are blanked out', () => {
  const keeper = keepSecrets(of({ npm: 'old-token' }));
  keeper.replace(of({ npm: 'new-token' }));
  assert.deepEqual(keeper.variables({ T: 'npm' }), { T: 'new-token' });
  assert.equal(keeper.clean('old-token new-token!'), '********* *********!');
});
