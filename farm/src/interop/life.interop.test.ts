/** How a client and its buildlet end each other, find and know each other, in each pairing (buildlet.md 3.2, 3.5, 3.7). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createKeyPair, keyPairPassword } from '@croft/buildlet/key-pair';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { until } from '../testing-waiting.ts';
import type { BuildletOptions } from './buildlets.ts';
import { goPrograms } from './go-programs.ts';
import { startSleeping } from './clients.ts';
import { connectTo, openPeers, pairingName, pairings, type Peers } from './pairings.ts';

const programs = await goPrograms({ env: process.env, progress: (text) => process.stderr.write(`${text}\n`) });
const deps = { clock: systemClock, random: systemRandom };
const waitMs = 20 * SECOND;
const sleeping = { systemLevel: true, args: ['300'] };

for (const pairing of pairings) {
  describe(pairingName(pairing, programs), () => {
    const check = (name: string, body: (options: BuildletOptions) => Promise<void>): void => {
      void test(name, async (t) => {
        if ('missing' in programs) return t.skip(programs.missing);
        await body({ programs, env: process.env });
      });
    };
    const checkPeers = (name: string, body: (peers: Peers) => Promise<void>): void =>
      check(name, async (options) => {
        await using peers = await openPeers(pairing, options);
        await body(peers);
      });

    checkPeers('a buildlet that starts again before that is served on, and what ran on it is unknown', async ({ client, buildlet }) => {
      await using running = await startSleeping(client);
      await buildlet.kill('SIGKILL');
      const ended = await running.ended;
      assert.ok(ended.execError !== undefined && ended.remoteError === undefined, JSON.stringify(ended));
      await buildlet.restart();
      assert.ok((await client.status()) >= 25);
      assert.equal((await client.exec('/bin/echo', { systemLevel: true, args: ['again'] })).output, 'again\n');
      assert.equal(client.heartbeatFailures(), 0);
    });

    checkPeers('close ends the buildlet, and the client is told as of a loss, once', async ({ client, buildlet }) => {
      await client.status();
      await client.close();
      await client.close();
      assert.equal(await buildlet.ended, 0);
      await until(() => client.heartbeatFailures() > 0, { what: 'the end to be told', limitMs: waitMs });
      await assert.rejects(client.status(), /buildlet: Client closed/);
      assert.equal(client.heartbeatFailures(), 1);
    });

    checkPeers('a command that takes too long is ended, and whether it failed is unknown', async ({ client }) => {
      const ended = await client.exec('/bin/sleep', { ...sleeping, timeoutMs: SECOND });
      assert.deepEqual([ended.started, ended.timedOut, ended.remoteError], [true, true, undefined]);
      assert.match(ended.execError ?? '', /timeout waiting for command to complete/);
      assert.equal(await client.isBroken(), true);
    });

    check('a key pair is certificate and password: nobody without it is served, and no other machine is taken for it', async (options) => {
      const [pair, other] = await Promise.all([createKeyPair(deps), createKeyPair(deps)]);
      const more = { META_tls_cert: pair.certificate, META_tls_key: pair.key, META_password: keyPairPassword(pair) };
      await using peers = await openPeers(pairing, { ...options, more }, pair);
      assert.equal(await peers.client.workDir(), peers.buildlet.workDir);
      assert.equal((await peers.client.exec('/bin/echo', { systemLevel: true, args: ['secret'] })).output, 'secret\n');
      await using stack = new AsyncDisposableStack();
      const stranger = await connectTo(
        peers.buildlet.address,
        { maker: pairing.client, programs: options.programs, keyPair: other },
        stack,
      );
      await assert.rejects(stranger.workDir(), /unexpected TLS certificate/);
    });
  });
}
