/** The tunnel to the machine's SSH server, in each pairing: to a buildlet that listens, and over the line of one that dials. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { createKeyPair } from '@croft/buildlet/key-pair';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { sshFlags, startBuildlet } from './buildlets.ts';
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
