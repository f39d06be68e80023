/** `gomote` as a process against a real farm: gomote-ssh.md 11, checks 1, 5, 6, 8, 12 and 13. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { findOlderNode } from '@croft-apps/coordinator/testing-distribution';
import type { BuildSummary } from '@croft/protocol/api';
import { systemRandom } from '@croft/runtime/random';
import { endedBuild, foundBuilds } from './testing-builds.ts';
import { main, openPlace } from './testing-gomote.ts';

const olderNode = await findOlderNode();
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe('gomote', () => {
  test('names the lowest free number, lists what there is, and what nobody uses ends (check 1)', async () => {
    await using place = await openPlace({ sessions: { idleMs: '8s' } }, 2);
    const { farm, must } = place;
    assert.equal(await must(['create', 'ci']), 'local-ci-0\n');
    assert.equal(await must(['create', 'ci']), 'local-ci-1\n');
    assert.match(await must(['list']), /^local-ci-0\tci\t[^\t]*\texpires in \d+s\nlocal-ci-1\tci\t[^\t]*\texpires in \d+s\n$/);
    await must(['destroy', 'local-ci-0']);
    assert.equal(await must(['create', 'ci']), 'local-ci-0\n');
    const idle = await farm.waitFor('the idle one to end', async () => {
      await must(['ping', 'local-ci-1']);
      const { sessions } = JSON.parse(await must(['list', '--json'])) as { sessions: { alias: string; state: string }[] };
      return !sessions.some(({ alias, state }) => alias === 'local-ci-0' && state === 'active') && sessions;
    });
    assert.ok(
      idle.some(({ alias, state }) => alias === 'local-ci-1' && state === 'active'),
      JSON.stringify(idle),
    );
  });

  test('what waits says its place, and leaves the queue on Ctrl-C', async () => {
    await using place = await openPlace();
    const { farm, gomote, must } = place;
    await must(['create', 'ci']);
    const child = spawn(process.execPath, [main, 'create', 'ci'], {
      cwd: place.home,
      env: { PATH: process.env['PATH'], HOME: place.home, CROFT_SERVER: farm.url },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => void (said += text));
    await farm.waitFor('its place', () => /local-ci-1 waits at place 1: next; /.test(said));
    child.kill('SIGINT');
    await once(child, 'close');
    assert.equal(child.exitCode, 130);
    assert.doesNotMatch((await gomote(['list'])).stdout, /local-ci-1/);
  });

  test(
    'the one that the farm gives to everybody borrows, repeats a build, runs and gives back on an older Node',
    { skip: olderNode === undefined && 'no Node 20 or 22 is installed' },
    async () => {
      await using place = await openPlace({}, 2);
      const { farm, home, gomote, must } = place;
      const file = join(home, 'gomote');
      await writeFile(file, Buffer.from(await (await fetch(`${farm.url}/dist/gomote/gomote`)).arrayBuffer()));
      const program = [olderNode ?? '', file] as const;
      const [{ id }] = (await foundBuilds(farm, 2)) as [BuildSummary];
      await endedBuild(farm, id);
      for (const words of [
        ['create', 'ci'],
        ['repro', id],
      ]) {
        const { status, stdout, stderr } = await gomote(words, { program });
        assert.equal(status, 0, stderr);
        assert.doesNotMatch(stderr, /: {2}/, 'nothing is told of services where there are none');
        const name = stdout.trim();
        assert.match(await must(['run', name, 'sh', '-c', 'echo $CI'], { program }), /^true$/m);
        await must(['destroy', name], { program });
      }
    },
  );

  test('pushes, runs with the builder’s variables, and moves files both ways (checks 5, 6, 8)', async () => {
    await using place = await openPlace();
    const { repo, home, gomote, must } = place;
    await must(['create', 'ci']);
    const inst = 'local-ci-0';
    await mkdir(join(repo.dir, 'void'));
    await symlink('greeting.txt', join(repo.dir, 'link'));
    await must(['push', inst, '.', 'app'], { cwd: repo.dir });
    const again = JSON.parse(await must(['push', '--json', inst, '.', 'app'], { cwd: repo.dir })) as { pushed: [{ sent: number }] };
    assert.equal(again.pushed[0].sent, 0);
    const ran = await gomote([
      'run',
      '-e',
      'MORE=é %s',
      inst,
      'sh',
      '-c',
      'pwd; cat link; printf "%s|%s|\\0\\377" "$FROM_BUILDER" "$MORE"; exit 3',
    ]);
    assert.equal(ran.status, 3, ran.stderr);
    assert.match(ran.bytes.toString('latin1'), /\/app\nhello\na b"\$c\|Ã© %s\|\0\xff$/);
    assert.equal(await must(['run', '-builderenv', 'other', inst, 'printenv', 'FROM_BUILDER']), 'another\n');
    assert.equal((await gomote(['run', '-builderenv', 'none', inst, 'true'])).status, 125);
    assert.match(await must(['ls', inst, 'app']), /^drwx.*\tvoid\/$/m);

    const big = Buffer.from(systemRandom.hex(100 * 1024 ** 2), 'hex');
    await writeFile(join(home, 'big'), big);
    await must(['put', '-mode', '0755', inst, 'big', 'data/big']);
    assert.match(
      await must(['run', '-system', inst, 'sh', '-c', 'sha256sum data/big; stat -c %a data/big']),
      new RegExp(`^${sha256(big)} .*\n755\n$`),
    );
    const archive = (await gomote(['gettar', '-dir', 'data', inst])).bytes;
    assert.equal((await gomote(['gettar', '-dir', 'data', '-output', 'data.tar.gz', inst])).status, 0);
    assert.equal((await stat(join(home, 'data.tar.gz'))).size > big.length, true);
    await must(['puttar', '-dir', 'stdin', inst], { stdin: archive });
    await must(['puttar', '-dir', 'file', inst, 'data.tar.gz']);
    await must(['puttar', '-dir', 'hash', inst, repo.head.slice(0, 12)], { cwd: repo.dir });
    const server = createServer((_, response) => response.end(archive));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    await must(['puttar', '-dir', 'url', inst, `http://127.0.0.1:${(server.address() as AddressInfo).port}/x.tar.gz`]);
    server.close();
    const sums = await must([
      'run',
      '-system',
      inst,
      'sh',
      '-c',
      'sha256sum stdin/big file/big url/big | cut -c1-64 | sort -u; cat hash/greeting.txt',
    ]);
    assert.equal(sums, `${sha256(big)}\nhello\n`);
    await must(['rm', inst, 'data', 'stdin']);
    assert.doesNotMatch(await must(['ls', inst]), /data|stdin/);
    await must(['destroy', inst]);
  });

  test('a port of the machine is a port here, and so is its remote desktop', async () => {
    await using place = await openPlace();
    const { farm, home, must } = place;
    await must(['create', 'ci']);
    const reach = async (port: number, ...words: string[]): Promise<string> => {
      const served = createServer((_, response) => response.end(`port ${port} of the machine`));
      await once(served.listen(port, '127.0.0.1'), 'listening'); // the machine is this one
      const { port: at } = served.address() as AddressInfo;
      const args = [main, '--json', ...words, '-listen', 'localhost:0', 'local-ci-0', ...(port === 0 ? [String(at)] : [])];
      const child = spawn(process.execPath, args, { cwd: home, env: { PATH: process.env['PATH'], HOME: home, CROFT_SERVER: farm.url } });
      const [said] = (await once(child.stdout, 'data')) as [Buffer];
      const { listen } = JSON.parse(said.toString()) as { listen: { port: number } };
      const answer = await (await fetch(`http://localhost:${listen.port}/`)).text();
      child.kill('SIGINT');
      const [status] = (await once(child, 'close')) as [number];
      served.closeAllConnections();
      served.close();
      return `${status}: ${answer}`;
    };
    assert.equal(await reach(0, 'forward'), '130: port 0 of the machine');
    assert.equal(await reach(3389, 'rdp'), '130: port 3389 of the machine');
  });

  test('a group runs everywhere, forgets who has gone, and -until stops at the match (check 12)', async () => {
    await using place = await openPlace({}, 3);
    const { gomote, must } = place;
    await must(['create', '-count', '3', '-new-group', 'three', 'ci']);
    const env = { GOMOTE_GROUP: 'three' };
    const files = (await must(['run', 'echo', 'hi'], { env })).trim().split('\n');
    assert.equal(files.length, 3);
    for (const file of files) assert.equal(await readFile(file, 'utf8'), 'hi\n');
    await must(['destroy', 'local-ci-1'], { env: { XDG_CONFIG_HOME: join(place.home, 'other') } });
    const until = await gomote(['run', '-until', 'match', 'sh', '-c', 'echo match; exit 1'], { env });
    assert.deepEqual([until.status, until.stdout.trim().split('\n').length], [0, 2], until.stderr);
    await must(['destroy', '-destroy-group'], { env });
    assert.ok(!existsSync(join(place.home, '.config/gomote/groups/three.json')));
  });

  test('the stock ssh is let in by a certificate, with the environment of run, and hands on the exit status', async () => {
    await using place = await openPlace({ ssh: { port: 0 } });
    const { gomote, must } = place;
    await must(['create', 'ci']);
    const shown = await gomote(['ssh', 'local-ci-0', 'printf "%s" "$FROM_BUILDER"; exit 7']);
    assert.deepEqual([shown.status, shown.stdout], [7, 'a b"$c'], shown.stderr);
    const { instance, argv } = JSON.parse(await must(['--json', 'ssh', '-i-will-not-break-the-host', 'local-ci-0', 'true'])) as {
      instance: string;
      argv: string[];
    };
    assert.deepEqual([instance, argv[0], argv.at(-1)], ['local-ci-0', 'ssh', 'true']);
    assert.match(await must(['ssh', '-config', 'local-ci-0']), /^Host local-ci-0\n {2}HostName [^]*CertificateFile/);
  });

  test('a coordinator that is killed in mid-run costs nothing (check 13)', async () => {
    await using place = await openPlace();
    const { farm, gomote, must } = place;
    await must(['create', 'ci']);
    const script = 'for i in $(seq 1 40); do echo line $i; sleep 0.1; done; exit 6';
    const detached = (await must(['run', '-detach', 'local-ci-0', 'sh', '-c', script])).trim();
    let restarted: Promise<void> | undefined;
    const ran = await gomote(['run', 'local-ci-0', 'sh', '-c', script], {
      onOutput(text) {
        if (text.includes('line 5\n')) restarted ??= farm.kill9().then(farm.restart);
      },
    });
    await restarted;
    const whole = Array.from({ length: 40 }, (_, index) => `line ${index + 1}\n`).join('');
    assert.ok(restarted);
    assert.deepEqual([ran.status, ran.stdout], [6, whole], ran.stderr);
    assert.match(await must(['list']), /^local-ci-0\t/);
    const attached = await gomote(['attach', 'local-ci-0', detached]);
    assert.deepEqual([attached.status, attached.stdout], [6, whole], attached.stderr);
  });
});
