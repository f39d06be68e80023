import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

/** Nothing is read-only for root, unless it gives up that right. */
const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((path) => process.getuid?.() === 0 && existsSync(path));
const before = setpriv === undefined ? [] : [setpriv, '--bounding-set=-all'];

test('directories that cannot be written are removed with what is in them', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'croft-remove-'));
  try {
    const tree = join(dir, 'tree');
    mkdirSync(join(tree, 'shut/inner'), { recursive: true });
    writeFileSync(join(tree, 'shut/inner/file'), '');
    for (const path of [join(tree, 'shut/inner'), join(tree, 'shut')]) chmodSync(path, 0o555);
    const program = `import { removeTree } from ${JSON.stringify(import.meta.resolve('./remove-tree.ts'))}; await removeTree(${JSON.stringify(tree)});`;
    const [command, ...args] = [...before, process.execPath, '--input-type=module', '--eval', program];
    await promisify(execFile)(command, args, { cwd: dir, env: {} });
    assert.equal(existsSync(tree), false);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
