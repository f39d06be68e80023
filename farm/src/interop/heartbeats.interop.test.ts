/** A client that has lost its buildlet, in each pairing (buildlet.md 3.3). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MINUTE } from '@croft/runtime/clock';
import { until } from '../testing-waiting.ts';
import { goPrograms } from './go-programs.ts';
import { openPeers, pairingName, pairings } from './pairings.ts';

const programs = await goPrograms({ env: process.env, progress: (text) => process.stderr.write(`${text}\n`) });
/** Three heartbeats, ten seconds apart, and as much again on a busy machine. */
const lostMs = MINUTE;

// At once, because each of them waits half a minute.
describe('three heartbeats in a row that nobody answers are the end, told once', { concurrency: true }, () => {
  for (const pairing of pairings) {
    void test(pairingName(pairing, programs), async (t) => {
      if ('missing' in programs) return t.skip(programs.missing);
      await using peers = await openPeers(pairing, { programs, env: process.env });
      const { client, buildlet } = peers;
      await client.status();
      await buildlet.kill('SIGKILL');
      assert.equal(await client.isBroken(), false);
      await until(() => client.heartbeatFailures() > 0, { what: 'the loss to be told', limitMs: lostMs });
      assert.equal(await client.isBroken(), true);
      await assert.rejects(client.status(), /failed heartbeat/);
      assert.equal(client.heartbeatFailures(), 1);
    });
  }
});
