import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { openTestFarm, type TestFarm } from '../testing.ts';

interface Place {
  readonly here: string;
  readonly there: string;
  push(...args: string[]): Promise<{ status: number; sent: number; removed: number; stderr: string }>;
}

async function placed(farm: TestFarm, name = 'app', env: Record<string, string> = {}): Promise<Place> {
  await farm.gomote(['create', 'linux']);
  const here = join(farm.home, name);
  mkdirSync(here);
  return {
    here,
    there: join(farm.machine('ann-linux-0').workDir, name),
    async push(...args) {
      const ran = await farm.gomote(['push', '--json', ...args], { cwd: here, env });
      const { pushed } = JSON.parse(ran.stdout || '{"pushed":[{}]}') as { pushed: [{ sent: number; removed: number }] };
      return { status: ran.status, stderr: ran.stderr, sent: pushed[0].sent, removed: pushed[0].removed };
    },
  };
}

function write(root: string, files: Readonly<Record<string, string>>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
}

function repository(root: string): void {
  execFileSync('git', ['init', '-q', root]);
}

describe('gomote push', () => {
  test('makes the tree there like the one here, and then has nothing to do (acceptance 5)', async () => {
    await using farm = await openTestFarm();
    const { here, there, push } = await placed(farm);
    repository(here);
    write(here, {
      '.gitignore': '*.log\nout/\n!keep.log\n',
      'a.txt': 'a',
      'keep.log': 'kept',
      'x.log': 'ignored',
      'out/built': 'ignored',
      'src/b.ts': 'b',
      'src/.b.ts.swp': 'editor',
      'src/b.ts~': 'editor',
      'src/#b.ts#': 'editor',
      'naïve/日本.txt': 'utf8',
      'run.sh': '#!/bin/sh\n',
    });
    write(here, { [Buffer.from('e\u0301.txt').toString()]: 'decomposed' });
    chmodSync(join(here, 'run.sh'), 0o755);
    write(here, { 'locked.txt': 'read only' });
    chmodSync(join(here, 'locked.txt'), 0o444);
    mkdirSync(join(here, 'empty'));
    symlinkSync('src/b.ts', join(here, 'link'));
    symlinkSync('/etc/passwd', join(here, 'away'));
    const first = await push('ann-linux-0');
    assert.equal(first.status, 0, first.stderr);
    assert.match(first.stderr, /away is a link that leads out of the tree/);
    assert.equal(readFileSync(join(there, 'src/b.ts'), 'utf8'), 'b');
    assert.equal(readFileSync(join(there, 'naïve/日本.txt'), 'utf8'), 'utf8');
    assert.equal(readFileSync(join(there, 'keep.log'), 'utf8'), 'kept');
    assert.equal(readlinkSync(join(there, 'link')), 'src/b.ts');
    assert.deepEqual([lstatSync(join(there, 'run.sh')).mode & 0o111, lstatSync(join(there, 'locked.txt')).mode & 0o777], [0o111, 0o444]);
    assert.ok(lstatSync(join(there, 'empty')).isDirectory());
    for (const path of ['x.log', 'out', '.git', 'src/.b.ts.swp', 'src/b.ts~', 'src/#b.ts#', 'away'])
      assert.ok(!existsSync(join(there, path)), path);
    const asked = farm.asked.length;
    const second = await push('ann-linux-0');
    assert.deepEqual([second.sent, second.removed], [0, 0], second.stderr);
    assert.deepEqual(farm.asked.slice(asked), ['GET /ls?dir=app&recursive=true&digest=sha256'], 'one trip');
  });

  test('deletes what is not here, but what git ignores, and changes kinds and modes', async () => {
    await using farm = await openTestFarm();
    const { here, there, push } = await placed(farm);
    repository(here);
    write(here, {
      '.gitignore': 'node_modules/\n*.o\n',
      'a.txt': 'a',
      'old/one.txt': '1',
      kind: 'file',
      'tool.sh': 'x',
      'ro.txt': 'before',
    });
    chmodSync(join(here, 'ro.txt'), 0o444);
    await push('ann-linux-0');
    write(there, { 'node_modules/x/index.js': '', 'old/cache.o': 'built', 'new/dir/file': 'made there', 'lone.txt': '' });
    rmSync(join(here, 'old'), { recursive: true });
    rmSync(join(here, 'kind'));
    write(here, { 'kind/inside.txt': 'now a directory' });
    chmodSync(join(here, 'tool.sh'), 0o755);
    rmSync(join(here, 'ro.txt'));
    write(here, { 'ro.txt': 'beyond' });
    const dry = await push('-dry-run', 'ann-linux-0');
    assert.match(dry.stderr, /would upload 3 new or changed/);
    assert.ok(existsSync(join(there, 'lone.txt')) && lstatSync(join(there, 'kind')).isFile(), 'a dry run changes nothing');
    const { sent } = await push('ann-linux-0');
    assert.equal(sent, 3);
    for (const path of ['old/one.txt', 'new', 'lone.txt']) assert.ok(!existsSync(join(there, path)), path);
    for (const path of ['node_modules/x/index.js', 'old/cache.o', 'kind/inside.txt']) assert.ok(existsSync(join(there, path)), path);
    assert.equal(lstatSync(join(there, 'tool.sh')).mode & 0o111, 0o111);
    assert.equal(readFileSync(join(there, 'ro.txt'), 'utf8'), 'beyond');
    assert.equal((await push('ann-linux-0')).sent, 0);
  });

  test('asks git in the directory that is pushed, and in each repository below it', async () => {
    await using farm = await openTestFarm();
    const { here, there, push } = await placed(farm);
    repository(here);
    write(here, { '.gitignore': 'only-outer\n', 'only-outer': '', 'sub/.gitignore': 'only-inner\n', 'sub/only-inner': '', 'sub/kept': '' });
    repository(join(here, 'sub'));
    await push('ann-linux-0');
    assert.ok(existsSync(join(there, 'sub/kept')) && !existsSync(join(there, 'sub/only-inner')) && !existsSync(join(there, 'only-outer')));
    write(there, { 'sub/only-inner': 'built there', 'sub/other': '' });
    await push('ann-linux-0');
    assert.ok(existsSync(join(there, 'sub/only-inner')) && !existsSync(join(there, 'sub/other')));
    const elsewhere = await farm.gomote(['push', 'ann-linux-0', join(here, 'sub'), 'lone'], { cwd: '/' });
    assert.equal(elsewhere.status, 0, elsewhere.stderr);
    assert.deepEqual(existsSync(join(there, '../lone/kept')) && !existsSync(join(there, '../lone/only-inner')), true);
  });

  test('-ignore leaves out what matches, here and there; without git everything takes part', async () => {
    await using farm = await openTestFarm();
    const { here, there, push } = await placed(farm);
    write(here, { 'a.mp4': '', 'deep/b.mp4': '', 'c.txt': 'c', '.gitignore': 'c.txt\n' });
    await push('-ignore', '*.mp4', 'ann-linux-0');
    assert.ok(existsSync(join(there, 'c.txt')) && !existsSync(join(there, 'a.mp4')) && !existsSync(join(there, 'deep/b.mp4')));
    write(there, { 'there.mp4': '' });
    await push('-ignore', '*.mp4', 'ann-linux-0');
    assert.ok(existsSync(join(there, 'there.mp4')));
  });

  test('Go’s tree goes to go, with its generated files and VERSION left alone (PUSH-1, 5, 7, 8)', async () => {
    await using farm = await openTestFarm();
    const { here, push } = await placed(farm, 'goroot', { GOROOT: join(farm.home, 'goroot') });
    write(here, {
      'src/make.bash': '',
      'src/cmd/dist/main.go': '',
      'bin/go': 'local',
      'pkg/x': 'local',
      'VERSION.cache': '',
      'src/go/build/zcgo.go': 'local',
    });
    const go = join(farm.machine('ann-linux-0').workDir, 'go');
    const first = await push('ann-linux-0');
    assert.equal(first.status, 0, first.stderr);
    assert.match(readFileSync(join(go, 'VERSION'), 'utf8'), /^devel gomote\.[0-9a-f]{6}$/);
    for (const path of ['bin', 'pkg', 'VERSION.cache', 'src/go/build/zcgo.go']) assert.ok(!existsSync(join(go, path)), path);
    write(go, { 'src/runtime/internal/sys/zversion.go': 'generated', 'bin/go': 'built', 'src/gone.go': '' });
    const second = await push('ann-linux-0');
    assert.deepEqual([second.sent, second.removed], [0, 1], second.stderr);
    assert.ok(
      existsSync(join(go, 'src/runtime/internal/sys/zversion.go')) && existsSync(join(go, 'bin/go')) && existsSync(join(go, 'VERSION')),
    );
    write(here, { VERSION: 'go1.99' });
    await push('ann-linux-0');
    assert.equal(readFileSync(join(go, 'VERSION'), 'utf8'), 'go1.99');
  });

  test('a file that changes and keeps its size and time is seen', async () => {
    await using farm = await openTestFarm();
    const { here, there, push } = await placed(farm);
    write(here, { 'a.txt': 'one' });
    await push('ann-linux-0');
    await push('ann-linux-0');
    const { atime, mtime } = lstatSync(join(here, 'a.txt'));
    write(here, { 'a.txt': 'two' });
    (await import('node:fs')).utimesSync(join(here, 'a.txt'), atime, mtime);
    assert.equal((await push('ann-linux-0')).sent, 1);
    assert.equal(readFileSync(join(there, 'a.txt'), 'utf8'), 'two');
  });
});
