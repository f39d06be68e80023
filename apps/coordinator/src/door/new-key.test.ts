import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import ssh2 from 'ssh2';
import { newKey } from './new-key.ts';
import { parseKeyLine } from './public-key.ts';

test('each of so many new keys can be read again, whatever its public half begins with', () => {
  const blobs = new Set<string>();
  for (let count = 0; count < 2_000; count += 1) {
    const { private: secret, public: line } = newKey('croft');
    const parsed = ssh2.utils.parseKey(secret);
    assert.ok(!(parsed instanceof Error));
    const { blob } = parseKeyLine(line).key;
    assert.deepEqual(parsed.getPublicSSH(), blob);
    blobs.add(blob.toString('hex'));
  }
  assert.equal(blobs.size, 2_000);
});

test('OpenSSH reads a new key, with its comment', () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'croft-key-'));
  const { private: secret, public: line } = newKey('croft-7');
  writeFileSync(join(dir.path, 'key'), secret, { mode: 0o600 });
  assert.equal(execFileSync('ssh-keygen', ['-y', '-f', join(dir.path, 'key')], { encoding: 'utf8' }), `${line}\n`);
});
