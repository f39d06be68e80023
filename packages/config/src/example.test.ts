import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readConfigFile } from './read-config.ts';

const page = new URL('../../../docs/using/configuration.md', import.meta.url);

test('the example of the documentation is a configuration, and says what the page says about it', async () => {
  const [, example = ''] = /```ts\n([^]*?)```/.exec(readFileSync(page, 'utf8')) ?? [];
  const dir = mkdtempSync(join(tmpdir(), 'croft-example-'));
  try {
    const path = join(dir, 'croft.config.ts');
    writeFileSync(path, example);
    const { builders, port } = await readConfigFile(path);
    assert.deepEqual(
      builders.map(({ name }) => name),
      ['unit-22-plain', 'unit-24-plain', 'unit-24-slow', 'bench', 'self'],
    );
    assert.equal(port, 8119);
    const staging = await readConfigFile(path, { environment: 'staging' });
    assert.deepEqual([staging.port, staging.dataDir, staging.builders.length], [8120, join(dir, 'staging'), 3]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('far from the clone the path of defineConfig takes the place of its name', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'croft-example-'));
  try {
    const path = join(dir, 'croft.config.ts');
    const door = fileURLToPath(new URL('define-config.ts', import.meta.url));
    writeFileSync(path, `import { defineConfig } from '${door}';\nexport default defineConfig({ dataDir: 'data' });\n`);
    assert.equal((await readConfigFile(path)).dataDir, join(dir, 'data'));
  } finally {
    rmSync(dir, { recursive: true });
  }
});
