import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { chmod, mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createDistribution } from './distribution.ts';
import { findOlderNode } from './testing.ts';

const buildlet = fileURLToPath(new URL('../../../buildlet/src/', import.meta.url));
const olderNode = await findOlderNode();

/** Each starts buildlets as processes, through `startTestBuildlet`. */
const stories = globSync('**/*.test.ts', { cwd: buildlet }).filter((file) =>
  /\b(?:startMachine|startTestBuildlet)\b/.test(readFileSync(join(buildlet, file), 'utf8')),
);

test(
  'the bundle does on an older Node whatever the buildlet’s own tests ask of the sources',
  { skip: olderNode === undefined && 'no Node 20 or 22 is installed', timeout: 590_000 },
  async () => {
    await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-older-node-'));
    await chmod(dir.path, 0o755); // some buildlets run as another user
    const { program } = await createDistribution(dir.path)(); // with what terminals need beside it
    assert.ok(stories.length > 5, stories.join());
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const child = spawn(process.execPath, ['--test', '--test-reporter=dot', '--test-concurrency=3', ...stories], {
      cwd: buildlet,
      env: { ...env, CROFT_TEST_BUILDLET: JSON.stringify([olderNode, program]) },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit') as Promise<[number | null]>]);
    assert.equal(code, 0, output);
  },
);
