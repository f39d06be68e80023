import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { openTestFarm } from './testing.ts';

describe('gomote create', () => {
  test('prints just the names, and the lowest free number is given again (acceptance 1)', async () => {
    await using farm = await openTestFarm();
    const first = await farm.gomote(['create', 'linux']);
    assert.deepEqual([first.status, first.stdout], [0, 'ann-linux-0\n'], first.stderr);
    assert.equal((await farm.gomote(['create', '-status=false', 'lin'])).status, 2, 'two builders begin like that');
    assert.equal((await farm.gomote(['create', 'linux'])).stdout, 'ann-linux-1\n');
    assert.equal(
      (await farm.gomote(['list'])).stdout,
      'ann-linux-0\tlinux\tdebian\texpires in 30m0s\nann-linux-1\tlinux\tdebian\texpires in 30m0s\n',
    );
    assert.equal((await farm.gomote(['destroy', 'ann-linux-0'])).status, 0);
    assert.equal((await farm.gomote(['create', 'linux'])).stdout, 'ann-linux-0\n');
    assert.equal((await farm.gomote(['create', '-list'])).stdout, 'linux\nlinux-arm\n');
  });
});

describe('gomote share', () => {
  test('keeps a name that nobody has yet, and says so', async () => {
    await using farm = await openTestFarm();
    await farm.gomote(['create', 'linux']);
    const shared = await farm.gomote(['share', 'ann-linux-0', 'bob', 'eev', 'jo']);
    assert.equal(shared.status, 0);
    assert.equal(shared.stderr, '# nobody is called eev or jo here yet: they may use it once they have a token of that name\n');
    assert.equal((await farm.gomote(['share', 'ann-linux-0', 'bob'])).stderr, '');
    const { stdout, stderr } = await farm.gomote(['share', '--json', 'ann-linux-0', 'eev']);
    assert.deepEqual([JSON.parse(stdout).sessions[0].strangers, stderr], [['eev'], '']);
  });
});

test('gettar and ls of what is not there say what has no such directory, and leave no file', async () => {
  await using farm = await openTestFarm();
  await farm.gomote(['create', 'linux']);
  await farm.gomote(['put', 'ann-linux-0', '-', 'file'], { stdin: 'x' });
  const asked = [
    ['gettar', '-dir', 'no/such', 'ann-linux-0'],
    ['gettar', '-dir', 'no/such', '-output', 'got.tar.gz', 'ann-linux-0'],
    ['ls', 'ann-linux-0', 'no/such'],
  ];
  for (const args of asked) {
    const { status, stdout, stderr } = await farm.gomote(args);
    const told = 'gomote: ann-linux-0 has no "no/such" in its work directory\nWhat is there: gomote ls ann-linux-0\n';
    assert.deepEqual([status, stdout, stderr], [1, '', told], args.join(' '));
  }
  assert.match((await farm.gomote(['ls', 'ann-linux-0', 'file/x'])).stderr, /^gomote: ann-linux-0 has no "file\/x"/);
  assert.equal(existsSync(join(farm.home, 'got.tar.gz')), false);
});

describe('gomote run', () => {
  test('hands on output byte for byte, both streams apart, and the exit status (acceptance 6)', async () => {
    await using farm = await openTestFarm();
    await farm.gomote(['create', 'linux']);
    const ran = await farm.gomote(['run', 'ann-linux-0', 'sh', '-c', String.raw`printf '100%% \000\377\n'; echo oops >&2; exit 3`]);
    assert.equal(ran.status, 3);
    assert.deepEqual(ran.bytes, Buffer.from('100% \0\xff\n', 'latin1'));
    assert.equal(ran.stderr, 'oops\n');
    assert.equal((await farm.gomote(['run', 'nobody', 'true'])).status, 125);
    assert.equal((await farm.gomote(['run', 'ann-linux-0', 'sh', '-c', 'kill -9 $$'])).status, 137);
  });

  test('what cannot be started has the status that a shell gives it, and says why', async () => {
    await using farm = await openTestFarm();
    await farm.gomote(['create', 'linux']);
    const putAs = (mode: string, name: string, stdin: string): Promise<unknown> =>
      farm.gomote(['put', '-mode', mode, 'ann-linux-0', '-', name], { stdin });
    await putAs('0644', 'plain.sh', 'true\n');
    await putAs('0755', 'orphan.sh', '#!/no/such/sh\n');
    const told = {
      'no-such-program': [127, 'no program "no-such-program" in PATH'],
      './nosuch.sh': [127, 'no such program "./nosuch.sh"'],
      'nosuch/x.sh': [127, 'no such directory "nosuch"'],
      './orphan.sh': [127, 'the interpreter that "./orphan.sh" names in its first line does not exist'],
      './plain.sh': [126, '"./plain.sh" is not executable'],
    } as const;
    for (const [command, [status, reason]] of Object.entries(told)) {
      const ran = await farm.gomote(['run', 'ann-linux-0', command]);
      assert.equal(ran.status, status, command);
      assert.ok(ran.stderr.startsWith(`# ann-linux-0: ${reason}`), ran.stderr);
    }
  });

  test('-e, -dir and -path are what the command sees (RUN-1, acceptance 6)', async () => {
    await using farm = await openTestFarm();
    await farm.gomote(['create', 'linux']);
    const env = await farm.gomote(['run', '-e', 'k1=v1', '-e', 'K1=V2', '-e', '', '-e', 'k1=v3', '-dir', '.', 'ann-linux-0', 'env']);
    assert.match(env.stdout, /^K1=V2$[^]*^k1=v3$/m);
    assert.equal((await farm.gomote(['run', '-path', 'EMPTY', 'ann-linux-0', '/bin/sh', '-c', 'echo "<$PATH>"'])).stdout, '<>\n');
    const { workDir } = farm.machine('ann-linux-0');
    const path = await farm.gomote(['run', '-path', '$WORKDIR/x,$PATH', 'ann-linux-0', '/bin/sh', '-c', 'echo "$PATH"']);
    assert.match(path.stdout, new RegExp(`^${workDir}/x:/.*bin`));
    assert.equal((await farm.gomote(['run', '-e', 'wrong', 'ann-linux-0', 'true'])).status, 125);
  });

  test('a command of the work directory runs in its own directory', async () => {
    await using farm = await openTestFarm();
    await farm.gomote(['create', 'linux']);
    await farm.gomote(['put', '-mode', '0755', 'ann-linux-0', '-', 'src/all.sh'], { stdin: '#!/bin/sh\npwd; echo "$@"\n' });
    const { workDir } = farm.machine('ann-linux-0');
    assert.equal((await farm.gomote(['run', 'ann-linux-0', 'src/all.sh', '-v', '--json'])).stdout, `${workDir}/src\n-v --json\n`);
    assert.equal((await farm.gomote(['run', '-dir', '.', 'ann-linux-0', 'src/all.sh'])).stdout, `${workDir}\n\n`);
  });

  test('left alone it is found again, from its first byte, as often as one likes', async () => {
    await using farm = await openTestFarm();
    await farm.gomote(['create', 'linux']);
    const { stdout: name } = await farm.gomote(['run', '-detach', 'ann-linux-0', 'sh', '-c', 'echo one; echo two >&2; exit 4']);
    assert.match(name, /^r-[0-9a-f]{12}\n$/);
    for (const words of [['ann-linux-0', name.trim()], ['ann-linux-0'], [`ann-linux-0+${name.trim()}`]]) {
      const seen = await farm.gomote(['attach', ...words]);
      assert.deepEqual([seen.status, seen.stdout, seen.stderr], [4, 'one\n', 'two\n']);
    }
    assert.equal((await farm.gomote(['attach', 'ann-linux-0', 'r-none'])).status, 125);
  });

  test('goes on where it was when the farm was away for a while', async () => {
    await using farm = await openTestFarm();
    await farm.gomote(['create', 'linux']);
    let cut: Promise<void> | undefined;
    const ran = await farm.gomote(['run', 'ann-linux-0', 'sh', '-c', 'for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done; exit 5'], {
      onStdout(text) {
        if (text.includes('2')) cut ??= farm.pause().then(farm.resume);
      },
    });
    await cut;
    assert.deepEqual([ran.status, ran.stdout], [5, '1\n2\n3\n4\n5\n6\n'], ran.stderr);
    assert.match(ran.stderr, /trying again/);
  });

  test('Ctrl-C interrupts the command, and its status is ours', async () => {
    await using farm = await openTestFarm();
    await farm.gomote(['create', 'linux']);
    const interrupt = new AbortController();
    const ran = await farm.gomote(
      ['run', 'ann-linux-0', 'sh', '-c', 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.05; done'],
      {
        signal: interrupt.signal,
        onStdout: (text) => text.includes('ready') && interrupt.abort(),
      },
    );
    assert.deepEqual([ran.status, ran.stdout], [9, 'ready\ncaught\n'], ran.stderr);
  });

  test('--json leaves one value on stdout, and the output on stderr', async () => {
    await using farm = await openTestFarm();
    await farm.gomote(['create', 'linux']);
    const ran = await farm.gomote(['run', '--json', 'ann-linux-0', 'echo', 'hi']);
    const { run, ...value } = JSON.parse(ran.stdout) as { run: string };
    assert.deepEqual([value, ran.stderr], [{ instance: 'ann-linux-0', status: 0, exit: { kind: 'exited', code: 0 } }, 'hi\n']);
    assert.match(run, /^r-/);
  });
});

describe('groups', () => {
  test('hold what is created, run everywhere at once, and drop what has ended (acceptance 12)', async () => {
    await using farm = await openTestFarm();
    const made = await farm.gomote(['create', '-count', '3', '-new-group', 'three', 'linux']);
    assert.equal(made.status, 0, made.stderr);
    assert.equal(made.stdout.split('\n').length, 4);
    const env = { GOMOTE_GROUP: 'three' };
    const ran = await farm.gomote(['run', 'sh', '-c', 'echo out; echo err >&2; exit 7'], { env });
    const files = ran.stdout.trim().split('\n');
    assert.deepEqual([ran.status, files.length], [7, 3], ran.stderr);
    for (const file of files) assert.equal(readFileSync(file, 'utf8'), 'out\nerr\n');
    farm.end('ann-linux-1');
    const again = await farm.gomote(['run', 'true'], { env });
    assert.equal(again.stdout.trim().split('\n').length, 2);
    assert.match(again.stderr, /out of group "three"/);
    const kept = JSON.parse(readFileSync(join(farm.home, '.config/gomote/groups/three.json'), 'utf8')) as { instances: string[] };
    assert.equal(kept.instances.length, 2);
    assert.equal((await farm.gomote(['destroy'], { env })).status, 0);
    assert.deepEqual((await farm.gomote(['list'])).stdout, '');
  });

  test('-until stops at the match although the command exits 1 (acceptance 12)', async () => {
    await using farm = await openTestFarm();
    await farm.gomote(['create', 'linux']);
    const script = 'echo x >> count; n=$(wc -l < count); [ $n -ge 3 ] && echo FAIL: $n; exit 1';
    const ran = await farm.gomote(['run', '-until', 'FAIL: \\d', 'ann-linux-0', 'sh', '-c', script]);
    assert.deepEqual([ran.status, ran.stdout], [0, 'FAIL: 3\n'], ran.stderr);
    assert.match(ran.stderr, /round 2 ended with 1 and no match/);
  });

  test('are made, listed and removed; a missing one fails by flag and is made by create from the environment (GRP-1, 3, 4)', async () => {
    await using farm = await openTestFarm();
    assert.equal((await farm.gomote(['group', 'create', 'one'])).status, 0);
    assert.equal((await farm.gomote(['group', 'create', 'one'])).status, 1);
    assert.equal((await farm.gomote(['group', 'list'])).stdout, 'Name\tInstances\none\t(none)\n');
    for (const words of [['create', 'linux'], ['list']]) assert.equal((await farm.gomote(['-group', 'none', ...words])).status, 1);
    assert.equal((await farm.gomote(['create', 'linux'], { env: { GOMOTE_GROUP: 'two' } })).status, 0);
    assert.equal((await farm.gomote(['group', 'list'])).stdout, 'Name\tInstances\none\t(none)\ntwo\tann-linux-0\n');
    assert.equal((await farm.gomote(['-group', 'one', 'group', 'add', 'ann-linux-0'])).status, 0);
    assert.equal((await farm.gomote(['destroy', 'ann-linux-0'], { env: { GOMOTE_GROUP: 'one' } })).status, 0);
    assert.equal((await farm.gomote(['group', 'list'])).stdout, 'Name\tInstances\none\t(none)\ntwo\t(none)\n');
    assert.match((await farm.gomote(['group', 'destroy', 'one'], { env: { GOMOTE_GROUP: 'one' } })).stderr, /unset GOMOTE_GROUP/);
  });

  test('a word that is no instance is the command where a group is active, and a mistake otherwise (GRP-5)', async () => {
    await using farm = await openTestFarm();
    await farm.gomote(['create', '-new-group', 'g', 'linux']);
    assert.equal((await farm.gomote(['-group', 'g', 'ls', 'src'])).status, 1, 'no such directory');
    const nobody = await farm.gomote(['ls', 'src']);
    assert.match(nobody.stderr, /there is no instance "src"$/m);
    farm.end('ann-linux-0');
    const ended = await farm.gomote(['run', 'ann-linux-0', 'true']);
    assert.equal(ended.status, 125);
    assert.match(ended.stderr, /there is no instance "ann-linux-0" any more: test/);
  });
});
