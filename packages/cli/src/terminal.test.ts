import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitted } from './terminal.ts';

test('a line wider than the terminal goes on below its beginning, or below its comment', () => {
  const text = '\nshort\n  croft log B1      # byte for byte, to its end\n  one two three four five six seven eight nine\n';
  assert.equal(
    fitted(text, 40),
    [
      '\nshort\n',
      '  croft log B1      # byte for byte, to\n',
      '                    # its end\n',
      '  one two three four five six seven\n',
      '  eight nine\n',
    ].join(''),
  );
});

test('no word is lost, cut or moved, and only one too long for a line leaves it', () => {
  const text = 'Exit status: 0 done, 1 it could not be done, 2 wrong use, 130 interrupted, incomprehensibilities aside';
  for (let columns = 1; columns < 120; columns += 1) {
    const lines = fitted(text, columns).split('\n');
    assert.equal(lines.join(' '), text);
    for (const line of lines) assert.ok(line.length <= columns || !line.includes(' '), `${columns}: ${line}`);
  }
});
