/** The tunnel to the machine's SSH server, in each pairing: to a buildlet that listens, and over the line of one that dials. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { mkdir, mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { createKeyPair } from '@croft/buildlet/key-pair';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { runProgram, startSshFarm } from '../testing-ssh.ts';
import { startSshd, withoutSshd } from '../testing-sshd.ts';
import { makeCertificate, missingOpenssl } from '../testing-tls.ts';
import { reverseFlags, sshFlags, startBuildlet } from './buildlets.ts';
import { goPrograms } from './go-programs.ts';
import { openLine } from './lines.ts';
import { linePairingName, openPeers, pairingName, pairings } from './pairings.ts';
import { head, rawLine, type RawLine } from './raw-lines.ts';
import { portTaken, serveSsh, sshContract, sshPortFor } from './ssh-contract.ts';

const programs = await goPrograms({ env: process.env, progress: (text) => process.stderr.write(`${text}\n`) });
const pair = await createKeyPair({ clock: systemClock, random: systemRandom });

for (const pairing of pairings) {
  sshContract(pairingName(pairing, programs), {
    ...pairing,
    programs,
    open: (given, sshPort) => openPeers(pairing, { programs: given, env: process.env, flags: sshFlags(pairing.buildlet, sshPort) }),
  });
  sshContract(`${linePairingName(pairing, programs)}, over the line`, {
    ...pairing,
    programs,
    open: (given, sshPort) => openLine(pairing, { programs: given, pair, env: process.env, flags: sshFlags(pairing.buildlet, sshPort) }),
  });
}

for (const maker of ['Go', 'Croft'] as const) {
  void test(`${maker}’s buildlet ${maker === 'Go' ? 'loses' : 'keeps'} what a client says before it has read the 101`, async (t) => {
    if ('missing' in programs) return t.skip(programs.missing);
    const port = await sshPortFor(maker);
    const { promise: reached, resolve } = Promise.withResolvers<RawLine>();
    await using server = await serveSsh(port, (socket) => resolve(rawLine(socket)));
    if (!server) return t.skip(portTaken(port));
    await using buildlet = await startBuildlet(maker, { programs, env: process.env, flags: sshFlags(maker, port) });
    const [host = '', at] = buildlet.address.split(':');
    const line = rawLine(connect(Number(at), host));
    line.write(`POST /connect-ssh HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\nearly`);
    assert.equal(await line.until(head), 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: ssh\r\nConnection: Upgrade\r\n\r\n');
    line.write('late');
    const expected = maker === 'Go' ? 'late' : 'earlylate';
    assert.equal(await (await reached).bytes(expected.length), expected);
    line.close();
  });
}

void test('through the SSH door of a farm of ours to a machine of Go’s with its own sshd: status, both outputs, a terminal, files, a port', async (t) => {
  if ('missing' in programs) return t.skip(programs.missing);
  const without = withoutSshd || missingOpenssl();
  if (without) return t.skip(without);
  const sshPort = await sshPortFor('Go');
  if (!(await serveSsh(sshPort, () => undefined).then((server) => server?.[Symbol.asyncDispose]().then(() => true))))
    return t.skip(portTaken(sshPort));
  await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-go-door-'));
  const tls = makeCertificate(dir.path);
  setDefaultCACertificates([...getCACertificates('default'), await readFile(tls.certFile, 'utf8')]);
  const itsKeys = join(dir.path, 'ssh');
  const whereGoWrites = join(userInfo().homedir, '.ssh');
  await Promise.all([itsKeys, whereGoWrites].map((path) => mkdir(path, { recursive: true, mode: 0o700 })));
  await using _sshd = await startSshd(sshPort, join(itsKeys, 'authorized_keys'));
  const hostType = 'host-linux-test';
  await using door = await startSshFarm({
    hostType,
    env: { FROM_BUILDER: `it's "so"` },
    config: {
      tls,
      compat: { goBuilderKeys: true },
      hostTypes: [{ name: hostType, sshUser: 'root' }],
      pools: [{ kind: 'reverse', name: 'rack', hostType, expect: 1 }],
    },
    machine: ({ url }) => {
      const flags = reverseFlags('Go', { coordinator: new URL(url).host, hostType, hostname: 'rack-1' });
      return startBuildlet('Go', { programs, env: process.env, reverse: true, flags, mounts: { [whereGoWrites]: itsKeys } });
    },
  });
  const at = `${door.session}@127.0.0.1`;
  const ran = await door.ssh([at, 'cat; echo "$FROM_BUILDER"; echo oops >&2; exit 7'], 'given\n');
  assert.deepEqual([ran.code, ran.stdout, ran.stderr], [7, `given\nit's "so"\n`, 'oops\n']);
  const shown = await door.ssh(['-tt', at, 'tty >/dev/null && stty size && kill -TERM $$']);
  assert.match(shown.stdout, /^\d+ \d+\r?\n/);
  assert.equal(shown.code, 255, 'killed by a signal');

  const file = join(dir.path, 'file');
  await writeFile(file, Buffer.alloc(3 << 20, 'some bytes '));
  const scp = ['scp', [...door.options, '-q', '-P', String(door.port)]] as const;
  const sent = await runProgram(scp[0], [...scp[1], file, `${at}:there`]);
  assert.equal(sent.code, 0, sent.stderr + door.farm.output().slice(-3000));
  assert.equal((await runProgram(scp[0], [...scp[1], `${at}:there`, `${file}.back`])).code, 0);
  assert.ok((await readFile(`${file}.back`)).equals(await readFile(file)));

  await using served = await serveSsh(0, (socket) => void socket.end('from the machine'));
  const through = await door.ssh(['-W', `localhost:${served?.port}`, at]);
  assert.equal(through.stdout, 'from the machine');
  const allowed = await readFile(join(itsKeys, 'authorized_keys'), 'utf8');
  assert.match(allowed, /^ssh-ed25519 \S+ croft-S[0-9a-f]{16}\n$/, 'one key, of this session');
});
