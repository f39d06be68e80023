import assert from 'node:assert/strict';
import { mkdtempDisposableSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startTestBuildlet } from './testing.ts';

test('a buildlet of a test that does not start leaves neither process nor directory', async () => {
  using temp = mkdtempDisposableSync(join(tmpdir(), 'croft-no-start-'));
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = temp.path;
  try {
    await assert.rejects(startTestBuildlet({ flags: ['--no-such-flag'] }), /ended at its start.*no-such-flag/s);
    assert.deepEqual(readdirSync(temp.path), []);
  } finally {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  }
});
