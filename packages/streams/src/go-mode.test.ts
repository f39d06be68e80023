/** Go's file modes. buildlet.md 1.5 (real output of Go's buildlet) and 1.8. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { goModeOf, goModeText, posixModeOf } from './go-mode.ts';

test('modes read as Go prints them', () => {
  const texts = {
    dtrwxrwxrwx: 0o041777,
    'drwxr-xr-x': 0o040755,
    '-rw-------': 0o100600,
    'prw-r--r--': 0o010644,
    Lrwxrwxrwx: 0o120777,
    'urwxr-xr-x': 0o104755,
    'ugtrwxr-xr-x': 0o107755,
    'Drw-rw----': 0o060660,
    'Dcrw-rw-rw-': 0o020666,
    'Srwxr-xr-x': 0o140755,
    '?---------': 0o150000,
  };
  for (const [text, mode] of Object.entries(texts)) assert.equal(goModeText(mode), text);
});

test('a number holds the mode of a regular file, or none (buildlet.md 1.8)', () => {
  const modes = { 420: 0o644, 493: 0o755, 2541: 0o755, 8389101: 0o4755, 4194797: 0o2755, 1049069: 0o1755 };
  for (const [decimal, mode] of Object.entries(modes)) assert.equal(posixModeOf(decimal), mode, decimal);
  for (const decimal of [
    '',
    '-1',
    'x',
    '0x1ff',
    '4.2',
    '2147483648',
    '134217728',
    '67108864',
    '33554432',
    '16777216',
    '2097152',
    '524288',
  ]) {
    assert.equal(posixModeOf(decimal), undefined, decimal);
  }
  assert.equal(posixModeOf('4294967716'), undefined, 'more than 32 bits');
});

test('every mode of a regular file comes back from its number', () => {
  fc.assert(fc.property(fc.nat(0o7777), (mode) => assert.equal(posixModeOf(String(goModeOf(0o100000 | mode))), mode)));
});
