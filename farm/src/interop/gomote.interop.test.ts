/**
 * Go's own gomote, unchanged, against a farm of ours, on our buildlet and on Go's: of July 2022 with both protocols, of July 2017 with the first one,
 * and of today with the second. Acceptance 14 of gomote-ssh.md.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { withoutSshd } from '../testing-sshd.ts';
import type { Maker } from './buildlets.ts';
import { goPrograms, type GoPrograms, type OlderPrograms } from './go-programs.ts';
import { builders, openGomoteStage, type GomoteStage } from './gomote-stage.ts';
import { withoutOwnNetwork } from './own-network.ts';

const programs = await goPrograms({ env: process.env, progress: (line) => process.stderr.write(`${line}\n`) });
const noNetwork = await withoutOwnNetwork();
const [builder = '', raceBuilder = ''] = builders;

type Given = GoPrograms & { readonly older: OlderPrograms };

/** Skips by name what cannot be tried here. */
function check(name: string, buildlet: Maker, body: (given: GoPrograms, t: TestContext) => Promise<void>): void {
  void test(`${name}, on ${buildlet}’s buildlet`, async (t) => {
    if ('missing' in programs) return t.skip(programs.missing);
    if (noNetwork !== undefined) return t.skip(noNetwork);
    if (buildlet === 'Go' && withoutSshd) return t.skip(withoutSshd);
    await body(programs, t);
  });
}

function checkOlder(name: string, buildlet: Maker, body: (given: Given) => Promise<void>): void {
  check(name, buildlet, async (given, t) => {
    const { older } = given;
    if (older) return body({ ...given, older });
    t.skip(`${given.version} has no gomote with the first protocol`);
  });
}

describe('Go’s gomote of 2022', () => {
  for (const buildlet of ['Croft', 'Go'] as const) {
    checkOlder('v1: create, list, put, push, run, ls, gettar, ssh, rm, destroy', buildlet, async (given) => {
      await using stage = await openGomoteStage(given, { env: process.env, buildlet });
      const { gomote, said } = stage;
      const name = await said('create', builder);
      assert.equal(name, `user-ann-${builder}-0`);
      const bytes = await gomote(['run', '-e', 'X=$(id) "%d', name, '/bin/sh', '-c', String.raw`printf '%s \0 \377' "$X"`]);
      assert.deepEqual(bytes.stdout, Buffer.from('$(id) "%d \0 \xff', 'latin1'));
      assert.equal(await said('run', '-path', 'EMPTY', name, '/bin/sh', '-c', 'echo "[$PATH]"'), '[]');
      assert.match((await gomote(['create'], { code: 1 })).stderr, /Valid types:/);
      await tryV1(stage, name);
    });

    checkOlder('v2: create, list, put, push, run, ls, gettar, ping, ssh, rm, destroy', buildlet, async (given) => {
      await using stage = await openGomoteStage(given, { env: process.env, buildlet });
      const { gomote, said } = stage;
      const v2 = (...args: string[]): Promise<string> => said('v2', ...args);
      const name = await v2('create', builder);
      assert.equal(name, `ann-${builder}-0`);
      assert.match(await v2('list'), new RegExp(`^${name}\t${builder}\t`));
      await gomote(['v2', 'put', '-mode', '755', name, '-', 'go1.4/bin/go'], { input: '#!/bin/sh\n' });
      assert.match((await gomote(['v2', 'push', name])).stderr, /Uploading \d+ new\/changed files/);
      assert.doesNotMatch((await gomote(['v2', 'push', name])).stderr, /Uploading/, 'a second push sends nothing');
      const ran = await gomote(['v2', 'run', name, 'go/src/hello.sh'], { code: 1 });
      assert.match(ran.stdout.toString(), new RegExp(`^hello from ${builder}\n`));
      assert.match(ran.stderr, /command execution failed: exit status 3/);
      assert.match(await v2('run', '-path', '$WORKDIR/x,$PATH', name, '/bin/sh', '-c', 'echo $PATH'), /^\/\S+\/x:\S+:/);
      assert.match(await v2('ls', '-R', name, '.'), /^-rwxr-xr-x\tgo\/src\/hello\.sh\t/m);
      const archive = join(stage.home, 'got.tar.gz');
      await writeFile(archive, (await gomote(['v2', 'gettar', '-dir', 'go/src', name])).stdout);
      await gomote(['v2', 'puttar', '-dir', 'again', name, archive]);
      assert.match(await v2('ls', name, 'again'), /hello\.sh/);
      await gomote(['v2', 'rm', name, 'again']);
      await gomote(['v2', 'putbootstrap', name]);
      await gomote(['v2', 'ping', name]);
      await trySsh(stage, ['v2', 'ssh', name]);
      await gomote(['v2', 'destroy', name]);
      assert.equal(await v2('list'), '');
    });
  }

  checkOlder('racebuild brings back what its script built', 'Croft', async (given) => {
    await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-race-'));
    await writeExecutables(dir.path, raceStubs);
    await using stage = await openGomoteStage(given, { env: process.env, buildlet: 'Croft', path: dir.path });
    const goroot = join(stage.home, 'race');
    await mkdir(join(goroot, 'src/runtime/race'), { recursive: true });
    await writeFile(join(goroot, 'src/runtime/race/README'), 'what there is:\n');
    const git = (...args: string[]): Promise<unknown> => promisify(execFile)('git', ['-C', goroot, ...args]);
    await git('init', '--quiet');
    await git('-c', 'user.name=x', '-c', 'user.email=x', 'commit', '--quiet', '--allow-empty', '--message=it');
    await stage.run(given.older.racebuild, ['-rev', 'abcdef', '-goroot', goroot, '-platforms', 'linux/amd64']);
    const [syso, readme] = await Promise.all(
      ['race_linux_amd64.syso', 'README'].map((name) => readFile(join(goroot, 'src/runtime/race', name), 'utf8')),
    );
    assert.match(syso ?? '', /^abcdef for [0-9a-f]{40}\n$/);
    assert.match(readme ?? '', /^what there is:\nrace_linux_amd64\.syso built with LLVM abcdef and Go [0-9a-f]{40}\.\n$/);
    assert.equal(await stage.said('list'), '', `what it made (of ${raceBuilder}) it gave back`);
  });
});

describe('Go’s gomote of 2017', () => {
  checkOlder('create, list, put, push, run, ls, gettar, ssh, rm, destroy', 'Croft', async (given) => {
    await using stage = await openGomoteStage(given, { env: process.env, buildlet: 'Croft', gomote: given.older.gomote2017 });
    const name = await stage.said('create', builder);
    assert.equal(name, `user-ann-${builder}-0`);
    assert.match(await stage.said('put14', name), /No GoBootstrapURL/);
    await tryV1(stage, name);
  });
});

describe('today’s gomote of Go', () => {
  for (const buildlet of ['Croft', 'Go'] as const) {
    check('login, create -setup, push, run, files, ssh, scp, groups, destroy', buildlet, async (given, t) => {
      if (given.older) return t.skip(`these are programs of ${given.version}`);
      await using stage = await openGomoteStage(given, { env: process.env, buildlet });
      const { gomote, said, home } = stage;
      assert.match((await gomote(['login'])).stdout.toString(), /Please visit https:\/\/sign\.in\/here/);
      assert.equal(await said('create', '-list'), builders.join('\n'));
      const made = (await gomote(['create', '-setup', builder])).stdout.toString();
      const name = `ann-${builder}-0`;
      assert.match(made, new RegExp(`^${name}\nmade by ${builder} in /.*/go/src\n$`));
      assert.match(await said('list'), new RegExp(`^${name}\t${builder}\t`));
      assert.doesNotMatch((await gomote(['push', name])).stderr, /Uploading/, 'it was pushed already');
      const ran = await gomote(['run', '-e', 'X=$(id) "%d', name, 'go/src/hello.sh'], { code: 1 });
      assert.match(ran.stdout.toString(), new RegExp(`^hello from ${builder}\n`));
      const bytes = await gomote(['run', '-e', 'X=$(id) "%d', name, '/bin/sh', '-c', String.raw`printf '%s \0 \377' "$X"`]);
      assert.deepEqual(bytes.stdout, Buffer.from('$(id) "%d \0 \xff', 'latin1'));
      assert.match(await said('run', '-path', '$WORKDIR/x,$PATH', name, '/bin/sh', '-c', 'echo $PATH'), /^\/\S+\/x:\S+:/);
      await gomote(['run', '-until', 'FAIL', name, '/bin/sh', '-c', 'echo FAIL']);
      await gomote(['put', name, join(home, 'goroot/README'), 'put/README']);
      assert.match(await said('ls', '-R', '-d', name, 'put'), /^-rw-------\tREADME\t8\t\S+\t[0-9a-f]{40}$/m);
      await gomote(['gettar', '-dir', 'put', name]);
      await gomote(['puttar', '-dir', 'again', name, `${name}.tar.gz`]);
      await gomote(['ping', name]);
      await trySsh(stage, ['ssh', name]);
      assert.match(await said('ssh', name, 'pwd; cat ../again/README'), /\/go\nread me$/);
      await gomote(['scp', join(home, 'goroot/README'), `${name}:copied`]);
      await gomote(['scp', `${name}:copied`, join(home, 'back')]);
      assert.equal(await readFile(join(home, 'back'), 'utf8'), 'read me\n');
      await gomote(['rm', name, 'again', 'put', 'go/copied']);
      await gomote(['destroy', name]);
      if (buildlet === 'Go') return; // there is one machine
      await gomote(['create', '-count', '2', '-new-group', 'two', builder]);
      const both = await gomote(['-group', 'two', 'run', '/bin/sh', '-c', 'exit 0']);
      assert.equal(both.stderr.match(/Wrote results from/g)?.length, 2, both.stderr);
      await gomote(['-group', 'two', 'destroy', '-destroy-group']);
      assert.equal(await said('list'), '');
    });
  }
});

/** What both old clients write the same. */
async function tryV1(stage: GomoteStage, name: string): Promise<void> {
  const { gomote, said } = stage;
  assert.match(await said('list'), new RegExp(`^${name}\t${builder}\t\\S+\texpires in \\S+$`));
  await gomote(['put', '-mode', '755', name, '-', 'go1.4/bin/go'], { input: '#!/bin/sh\n' }); // or push would fetch the toolchain
  assert.match((await gomote(['push', name])).stderr, /Uploading \d+ new\/changed files/);
  assert.doesNotMatch((await gomote(['push', name])).stderr, /Uploading/, 'a second push sends nothing');
  const ran = await gomote(['run', name, 'go/src/hello.sh'], { code: 1 });
  assert.equal(ran.stdout.toString(), `hello from ${builder}\n`);
  assert.match(ran.stderr, /Error running run: exit status 3/);
  assert.match(await said('run', '-path', '$WORKDIR/x,$PATH', name, '/bin/sh', '-c', 'echo $PATH'), /^\/\S+\/x:\S+:/);
  assert.match(await said('ls', '-R', name, '.'), /^-rwxr-xr-x\tgo\/src\/hello\.sh\t/m);
  const archive = join(stage.home, 'got.tar.gz');
  await writeFile(archive, (await gomote(['gettar', '-dir', 'go/src', name])).stdout);
  assert.match((await promisify(execFile)('tar', ['-tzf', archive])).stdout, /hello\.sh/);
  await gomote(['puttar', '-dir', 'again', name, archive]);
  assert.match(await said('ls', name, 'again'), /hello\.sh/);
  await gomote(['rm', name, 'again']);
  await trySsh(stage, ['ssh', name]);
  await gomote(['destroy', name]);
  assert.equal(await said('list'), '');
  assert.match((await gomote(['run', name, '/bin/true'], { code: 1 })).stderr, /unknown builder|unknown or expired buildlet/);
}

async function trySsh({ gomote }: GomoteStage, args: string[]): Promise<void> {
  const { stdout } = await gomote(args, { input: 'echo "in $GO_BUILDER_NAME"\nexit\n' });
  assert.match(stdout.toString(), new RegExp(`^in ${builder}\r?$`, 'm'));
}

/** What racebuild's script calls on the machine: it clones two repositories, and builds in one of them. */
const raceStubs = {
  'apt-get': '#!/bin/sh\n',
  git: `#!/bin/sh
case "$1 $2" in
  'clone https://go.googlesource.com/go')
    mkdir -p go/src/runtime/race && echo '#!/bin/sh' > go/src/race.bash && chmod +x go/src/race.bash ;;
  'clone https://github.com/llvm/llvm-project')
    there=llvm-project/compiler-rt/lib/tsan/go && mkdir -p $there
    printf '#!/bin/sh\\necho "$REV for $GOREV" > race_linux_amd64.syso\\n' > $there/buildgo.sh && chmod +x $there/buildgo.sh ;;
  checkout\\ *) ;;
  *) exec /usr/bin/git "$@" ;;
esac
`,
};

async function writeExecutables(dir: string, contents: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, content] of Object.entries(contents)) {
    const path = join(dir, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
    await chmod(path, 0o755);
  }
}
