/** What Go's gomote has and people's fingers know: its options and forms, of both eras (gomote-ssh.md 3). */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { openTestServer } from '@croft/cli/testing';
import { openTestFarm, type TestFarm } from './testing.ts';

/** A small GOROOT. */
function makeGoRoot({ home }: TestFarm, script: string): string {
  const root = join(home, 'goroot');
  mkdirSync(join(root, 'src/cmd/dist'), { recursive: true });
  writeFileSync(join(root, 'src/make.bash'), script, { mode: 0o755 });
  return root;
}

describe('create -setup', () => {
  test('pushes GOROOT and builds it, with the output for people and the status of the build', async () => {
    await using farm = await openTestFarm();
    const env = { GOROOT: makeGoRoot(farm, '#!/bin/sh\necho made in $(pwd); exit $(cat status 2>/dev/null || echo 0)\n') };
    const ran = await farm.gomote(['create', '-setup', 'linux'], { env });
    assert.deepEqual([ran.status, ran.stdout], [0, 'ann-linux-0\n'], ran.stderr);
    assert.ok(ran.stderr.includes(`made in ${farm.machine('ann-linux-0').workDir}/go/src\n`), ran.stderr);
    writeFileSync(join(env.GOROOT, 'src/status'), '7\n');
    assert.equal((await farm.gomote(['create', '-setup', 'linux'], { env })).status, 7);
  });

  test('of several keeps the output of each in a file, and says which', async () => {
    await using farm = await openTestFarm();
    const env = { GOROOT: makeGoRoot(farm, '#!/bin/sh\necho made\n') };
    const ran = await farm.gomote(['create', '-setup', '-count', '2', 'linux'], { env });
    const files = [...ran.stderr.matchAll(/exit status 0, output in (\S+)/g)].map(([, path = '']) => readFileSync(path, 'utf8'));
    assert.deepEqual([ran.status, files], [0, ['made\n', 'made\n']], ran.stderr);
  });

  test('without GOROOT says what to do, and keeps the machine', async () => {
    await using farm = await openTestFarm();
    const ran = await farm.gomote(['create', '-setup', 'linux']);
    assert.deepEqual([ran.status, ran.stdout], [2, 'ann-linux-0\n']);
    assert.match(ran.stderr, /Set GOROOT, or use -push DIR/);
  });
});

async function made(farm: TestFarm): Promise<{ readonly workDir: string }> {
  assert.equal((await farm.gomote(['create', '-use-golangbuild=false', '-note', 'mine', 'linux'])).status, 0);
  return farm.machine('ann-linux-0');
}

describe('forms of Go’s tools', () => {
  test('v2 in front of a command says nothing, and put14 and putbootstrap have nothing to put', async () => {
    await using farm = await openTestFarm();
    const created = await farm.gomote(['v2', 'create', '-status=false', 'linux']);
    assert.equal(created.stdout, 'ann-linux-0\n', created.stderr);
    assert.equal((await farm.gomote(['v2', 'run', 'ann-linux-0', 'echo', 'v2', 'run'])).stdout, 'v2 run\n');
    for (const name of ['put14', 'putbootstrap']) {
      const { status, stderr } = await farm.gomote([name, 'ann-linux-0']);
      assert.deepEqual([status, stderr], [0, '# ann-linux-0: toolchains are the machine’s own; nothing was put there\n']);
    }
  });

  test('run -system, -firewall and -debug', async () => {
    await using farm = await openTestFarm();
    const { workDir } = await made(farm);
    const ran = await farm.gomote([
      'run',
      '-system',
      '-firewall',
      '-debug',
      'ann-linux-0',
      'sh',
      '-c',
      'pwd; echo $GO_DISABLE_OUTBOUND_NETWORK',
    ]);
    assert.deepEqual([ran.status, ran.stdout], [0, `${workDir}\ntrue\n`]);
    assert.match(ran.stderr, /^# -firewall: [^]*^# in \.$[^]*^# GO_DISABLE_OUTBOUND_NETWORK=true$/m);
  });

  test('ls -d, -R and -skip; push -dry-run changes nothing', async () => {
    await using farm = await openTestFarm();
    await made(farm);
    mkdirSync(join(farm.home, 'tree/sub'), { recursive: true });
    for (const name of ['one', 'sub/two']) writeFileSync(join(farm.home, 'tree', name), 'hello');
    const dry = await farm.gomote(['push', '-dry-run', 'ann-linux-0', 'tree']);
    assert.match(dry.stderr, /one/);
    assert.equal((await farm.gomote(['ls', 'ann-linux-0'])).stdout, '');
    await farm.gomote(['push', 'ann-linux-0', 'tree']);
    const listed = await farm.gomote(['ls', '-R', '-d', '-skip', 'sub,none', 'ann-linux-0', 'tree']);
    assert.match(listed.stdout, /^-rw\S+\tone\t5\t\S+\taaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d\n/);
    assert.doesNotMatch(listed.stdout, /two/);
  });

  test('puttar -gorev unpacks a commit with the VERSION that its build wants, -url what the machine fetches', async () => {
    await using farm = await openTestFarm();
    const { workDir } = await made(farm);
    const repo = join(farm.home, 'repo');
    const git = (...args: string[]): string =>
      execFileSync('git', ['-C', repo, '-c', 'user.name=x', '-c', 'user.email=x', ...args], { encoding: 'utf8' });
    mkdirSync(repo);
    writeFileSync(join(repo, 'file'), 'of the commit\n');
    git('init', '--quiet');
    git('add', '.');
    git('commit', '--quiet', '--message=it');
    const head = git('rev-parse', 'HEAD').trim();
    assert.equal((await farm.gomote(['puttar', '-dir', 'go', '-gorev', head, 'ann-linux-0'], { cwd: repo })).status, 0);
    assert.equal(readFileSync(join(workDir, 'go/file'), 'utf8'), 'of the commit\n');
    assert.equal(readFileSync(join(workDir, 'go/VERSION'), 'utf8'), `devel ${head}`);
    const archive = (await farm.gomote(['gettar', '-dir', 'go', 'ann-linux-0'])).bytes;
    await using served = await openTestServer({ 'GET /a.tar.gz': () => new Response(new Uint8Array(archive)) });
    assert.equal((await farm.gomote(['puttar', '-dir', 'url', '-url', `${served.url}/a.tar.gz`, 'ann-linux-0'])).status, 0);
    assert.equal(readFileSync(join(workDir, 'url/file'), 'utf8'), 'of the commit\n');
    assert.equal((await farm.gomote(['puttar', '-url', 'http://x/', '-gorev', head, 'ann-linux-0'])).status, 2);
  });

  test('put -mode takes permissions and nothing else; group remove takes out of the active group', async () => {
    await using farm = await openTestFarm();
    await farm.gomote(['create', '-new-group', 'g', 'linux']);
    for (const mode of ['100644', '8', '']) assert.equal((await farm.gomote(['put', '-mode', mode, 'ann-linux-0', '-', 'x'])).status, 2);
    const env = { GOMOTE_GROUP: 'g' };
    assert.equal((await farm.gomote(['group', 'remove', 'ann-linux-0'], { env })).status, 0);
    assert.equal((await farm.gomote(['group', 'remove', 'ann-linux-0'], { env })).status, 1);
    assert.equal((await farm.gomote(['group', 'list'])).stdout, 'Name\tInstances\ng\t(none)\n');
  });
});

test('a new group for which no machine could be had is not left behind', async () => {
  await using farm = await openTestFarm();
  assert.equal((await farm.gomote(['create', '-new-group', 'g', 'no-such-builder'])).status, 1);
  assert.equal((await farm.gomote(['group', 'list'])).stdout, 'Name\tInstances\n');
  assert.equal((await farm.gomote(['create', '-new-group', 'g', 'linux'])).status, 0);
});

describe('standard input of a terminal', () => {
  test('is waited for in words', async () => {
    await using farm = await openTestFarm();
    await made(farm);
    assert.match(
      (await farm.gomote(['put', 'ann-linux-0', '-', 'x'], { terminal: true, stdin: 'x' })).stderr,
      /^# reading standard input; Ctrl-D ends it\n/,
    );
  });
});
