/** A coordinator and the buildlets that dial it, in each pairing of Go's and ours: registering, every call over the line, and ends. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, test, type TestContext } from 'node:test';
import { createKeyPair } from '@croft/buildlet/key-pair';
import { MINUTE, systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { until } from '../testing-waiting.ts';
import type { BuildletProcess } from './buildlets.ts';
import { callsContract } from './calls-contract.ts';
import { startSleeping } from './clients.ts';
import type { PeerCoordinator } from './coordinators.ts';
import { goPrograms } from './go-programs.ts';
import { developmentMaster, hostType, openCoordinator, openLine, startReverse, taken, type OpenCoordinator } from './lines.ts';
import { linePairingName, pairings, type Pairing } from './pairings.ts';

const programs = await goPrograms({ env: process.env, progress: (text) => process.stderr.write(`${text}\n`) });
const pair = await createKeyPair({ clock: systemClock, random: systemRandom });
const waitMs = MINUTE / 2;

for (const pairing of pairings) {
  const name = linePairingName(pairing, programs);
  callsContract(`${name}, over the line`, async () =>
    'missing' in programs ? programs : openLine(pairing, { programs, pair, env: process.env }),
  );
  describe(name, () => endsOfLines(pairing));
}

interface Stage {
  open(more?: Partial<OpenCoordinator>): Promise<PeerCoordinator>;
  dial(coordinator: PeerCoordinator): Promise<BuildletProcess>;
  readonly t: TestContext;
}

/** What happens when one of the two goes away and comes back. */
function endsOfLines({ client: of, buildlet: maker }: Pairing): void {
  const check = (name: string, body: (stage: Stage) => Promise<void>): void => {
    void test(name, async (t) => {
      if ('missing' in programs) return t.skip(programs.missing);
      await using stack = new AsyncDisposableStack();
      await body({
        open: async (more) => stack.use(await openCoordinator(of, { programs, pair, ...more })),
        dial: async ({ port }) => stack.use(await startReverse(maker, port, { programs, env: process.env })),
        t,
      });
    });
  };

  check('a coordinator that is one of several sites sends it on to its own place', async ({ open, dial, t }) => {
    if (of === 'Croft') return t.skip('only Go’s coordinator redirects');
    const coordinator = await open({ prefix: '/farmer.golang.org' });
    const buildlet = await dial(coordinator);
    const client = await taken(coordinator, buildlet);
    assert.equal(await client.workDir(), buildlet.workDir);
  });

  check('a buildlet that is killed is known to be gone, and one that starts again is taken', async ({ open, dial }) => {
    const coordinator = await open();
    const buildlet = await dial(coordinator);
    const client = await taken(coordinator, buildlet);
    await using running = await startSleeping(client);
    await buildlet.kill('SIGKILL');
    assert.ok((await running.ended).execError, 'nobody knows what became of the command');
    await until(() => client.isBroken(), { what: 'the client to be broken', limitMs: waitMs });
    await buildlet.restart();
    const again = await taken(coordinator, buildlet);
    assert.equal((await again.exec('/bin/echo', { systemLevel: true, args: ['back'] })).output, 'back\n');
  });

  check('when the coordinator is killed and comes back, ours is there again; Go’s has ended, for whoever starts it', async (stage) => {
    const first = await stage.open();
    const buildlet = await stage.dial(first);
    await taken(first, buildlet);
    await first[Symbol.asyncDispose]();
    const second = await stage.open({ port: first.port });
    if (maker === 'Go') {
      assert.equal(await buildlet.ended, 0);
      await buildlet.restart();
    }
    await taken(second, buildlet);
  });

  check('closing the client ends the buildlet', async ({ open, dial }) => {
    const coordinator = await open();
    const buildlet = await dial(coordinator);
    const client = await taken(coordinator, buildlet);
    await client.close();
    assert.equal(await buildlet.ended, 0);
  });

  check('a wrong key is refused', async ({ open, dial }) => {
    const coordinator = await open({ masterKey: 'another master key' });
    const buildlet = await dial(coordinator);
    await until(() => buildlet.output().includes('invalid build key'), { what: 'the refusal', limitMs: waitMs, tell: buildlet.output });
    assert.equal(await coordinator.has(hostType), false);
    const key = createHmac('md5', developmentMaster).update(hostType).digest('hex');
    assert.ok(!buildlet.output().includes(key), 'no key is in what it wrote');
  });
}
