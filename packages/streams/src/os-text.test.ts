import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { CroftError } from '@croft/runtime/errors';
import { osText } from './os-text.ts';

function failureOf(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    return error;
  }
}

test('failures of the system read as Go tells them', () => {
  assert.equal(osText(failureOf(() => fs.lstatSync('/nope'))), 'lstat /nope: no such file or directory');
  assert.equal(osText(failureOf(() => fs.readdirSync('/etc/passwd'))), 'open /etc/passwd: not a directory');
  assert.equal(osText(failureOf(() => fs.openSync('/', 'w'))), 'open /: is a directory');
  assert.equal(
    osText(
      failureOf(() => fs.mkdirSync('/')),
      '/other',
    ),
    'mkdir /other: file exists',
  );
});

test('any other failure keeps its own words', () => {
  assert.equal(osText(new CroftError('invalid', 'bad')), 'bad');
  assert.equal(osText('text'), 'text');
});
