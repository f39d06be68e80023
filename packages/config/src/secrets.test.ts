import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { resolveSecrets } from './secrets.ts';

test('secrets come from variables and files, without the line end at a file’s end, and do not print', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'croft-secrets-'));
  try {
    const file = join(dir, 'token');
    writeFileSync(file, 'two\nlines\n');
    const sources = [
      { name: 'a', from: { env: 'A' } },
      { name: 'b', from: { file } },
    ];
    const secrets = await resolveSecrets(sources, { A: 'hunter22' });
    assert.deepEqual([secrets.get('a')?.reveal(), secrets.get('b')?.reveal()], ['hunter22', 'two\nlines']);
    assert.doesNotMatch(JSON.stringify([...secrets]), /hunter22/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('all that cannot be had is named at once, and nothing of what is there', async () => {
  const sources = ['UNSET', 'SHORT', 'NUL', 'LONG'].map((env) => ({ name: env.toLowerCase(), from: { env } }));
  const env = { SHORT: 'abc', NUL: 'nul\0nul', LONG: 'x'.repeat(70_000) };
  await assert.rejects(resolveSecrets([...sources, { name: 'file', from: { file: '/nowhere/at-all' } }], env), (error) => {
    assert.ok(isCode(error, 'invalid'));
    for (const named of [
      'unset: the variable UNSET is not set',
      'short: it has 3 bytes',
      'nul: it holds a NUL',
      'long: it has 70000 bytes, at most 8192',
      '/nowhere/at-all',
    ]) {
      assert.ok(error.message.includes(named), named);
    }
    assert.doesNotMatch(error.message, /abc|nul\0|xxx/);
    return true;
  });
});
