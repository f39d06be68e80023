/** SFTP as OpenSSH's own client speaks it, over a raw connection to a whole buildlet. docs/protocols/runs.md#files-by-sftp */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { lstat, mkdir, mkdtemp, readFile, readdir, readlink, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { systemRandom } from '@croft/runtime/random';
import { startMachine, type TestMachine } from '../testing.ts';

const run = promisify(execFile);
const client = ['/usr/bin/sftp', '/usr/local/bin/sftp', '/opt/homebrew/bin/sftp'].find(existsSync);
const bridge = fileURLToPath(new URL('testing-bridge.ts', import.meta.url));

describe('the stock OpenSSH client', { skip: client === undefined ? 'no sftp program found; install openssh-client' : false }, () => {
  let machine: TestMachine;
  let here = '';
  before(async () => {
    machine = await startMachine();
    here = await mkdtemp(join(tmpdir(), 'croft-sftp-'));
  });
  after(async () => {
    await machine[Symbol.asyncDispose]();
    await rm(here, { recursive: true });
  });

  const work = (...names: string[]): string => join(machine.process.workDir, ...names);
  const local = (...names: string[]): string => join(here, ...names);

  /** What it prints; each line is a command, and the first that fails ends it. */
  async function sftp(lines: readonly string[], dir = '.'): Promise<string> {
    await writeFile(local('batch'), lines.map((line) => `${line}\n`).join(''));
    const server = [process.execPath, bridge, JSON.stringify(machine.process.address), dir].map((word) => `'${word}'`).join(' ');
    await writeFile(local('server'), `#!/bin/sh\nexec ${server}\n`, { mode: 0o755 });
    const { stdout, stderr } = await run(client ?? '', ['-q', '-b', local('batch'), '-D', local('server')], { timeout: 60_000 });
    return stdout + stderr;
  }

  test('brings files there and back to the byte, with modes and times', async () => {
    const content = Buffer.from(systemRandom.hex(3_000_001));
    await writeFile(local('up'), content, { mode: 0o640 });
    await writeFile(local('empty'), '');
    await utimes(local('up'), 1_500_000_000, 1_500_000_001);
    await sftp([`put -p ${local('up')} up`, `put ${local('empty')} empty`, `get -p up ${local('down')}`, `get empty ${local('empty2')}`]);
    for (const path of [work('up'), local('down')]) {
      assert.ok((await readFile(path)).equals(content), path);
      const { mode, mtimeMs } = await lstat(path);
      assert.deepEqual([mode & 0o777, mtimeMs], [0o640, 1_500_000_001_000], path);
    }
    assert.equal((await lstat(local('empty2'))).size, 0);
  });

  test('makes, lists, renames, links, changes and removes', async () => {
    await writeFile(local('small'), 'small');
    const listed = await sftp([
      'mkdir things',
      'cd things',
      `put ${local('small')} "a file"`,
      'symlink "a file" link',
      'ln "a file" hard',
      'chmod 600 hard',
      'rename hard "other name"',
      'pwd',
      'ls -la',
      'df -h .',
    ]);
    assert.match(listed, new RegExp(`Remote working directory: ${work('things')}\n`));
    assert.match(listed, /\n-rw------- +2 \S+ +\S+ +5 \w{3} [ \d]\d \d\d:\d\d other name\n/);
    assert.match(listed, /\nlrwxrwxrwx .* link\n/);
    assert.match(listed, /Size +Used +Avail +\(root\) +%Capacity/);
    assert.equal(await readlink(work('things', 'link')), 'a file');
    await sftp(['rm "things/a file"', 'rm things/link', 'rm "things/other name"', 'rmdir things']);
    assert.ok(!(await readdir(work())).includes('things'));
  });

  test('takes whole directories, with names of any kind', async () => {
    await mkdir(local('tree', 'sub', 'žluťoučký'), { recursive: true });
    for (let n = 0; n < 250; n += 1) await writeFile(local('tree', 'sub', `file ${n}`), `content ${n}`);
    await writeFile(local('tree', 'sub', 'žluťoučký', '漢字'), 'x');
    await sftp([`put -r ${local('tree')} tree`, `get -r tree ${local('back')}`]);
    assert.equal((await readdir(local('back', 'sub'))).length, 251);
    assert.equal(await readFile(local('back', 'sub', 'file 249'), 'utf8'), 'content 249');
    assert.equal(await readFile(local('back', 'sub', 'žluťoučký', '漢字'), 'utf8'), 'x');
  });

  test('begins in a directory, or in the work directory where that is not there, and reaches all that the machine’s user does', async () => {
    await mkdir(work('start'), { recursive: true });
    await writeFile(local('hosts'), '');
    assert.match(await sftp(['pwd'], 'start'), new RegExp(`: ${work('start')}\n`));
    assert.match(await sftp(['pwd'], 'not/there'), new RegExp(`: ${machine.process.workDir}\n`));
    await sftp([`get /etc/passwd ${local('passwd')}`]);
    assert.equal(await readFile(local('passwd'), 'utf8'), await readFile('/etc/passwd', 'utf8'));
  });

  test('is told why not', async () => {
    await symlink('nowhere', work('dangling'));
    await mkdir(work('full', 'of'), { recursive: true });
    const said = async (line: string): Promise<string> =>
      sftp([line]).then(
        () => 'nothing',
        (error: { stderr: string }) => error.stderr,
      );
    assert.match(await said('get missing'), /not found|No such file/);
    assert.match(await said('rm dangling/x'), /No such file/);
    assert.match(await said('rmdir full'), /Failure|not empty/i);
    assert.match(await said('rename missing other'), /No such file/);
    await sftp(['rename dangling moved', 'rm moved']);
  });
});
