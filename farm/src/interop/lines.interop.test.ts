/** A coordinator and the buildlets that dial it, in each pairing of Go's and ours: registering, every call over the line, and ends. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { before, describe, test, type TestContext } from 'node:test';
import { createKeyPair, type KeyPair } from '@croft/buildlet/key-pair';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { until } from '../testing-waiting.ts';
import { reverseFlags, startBuildlet, type BuildletProcess, type Maker } from './buildlets.ts';
import { callsContract, type Ground } from './calls-contract.ts';
import { startSleeping, type PeerClient } from './clients.ts';
import { openCroftCoordinator, openGoCoordinator, type CoordinatorOptions, type PeerCoordinator } from './coordinators.ts';
import { goPrograms, type GoPrograms } from './go-programs.ts';

const programs = await goPrograms({ env: process.env, progress: (text) => process.stderr.write(`${text}\n`) });
const version = 'missing' in programs ? 'Go' : programs.version;
const makers: readonly Maker[] = ['Go', 'Croft'];
const hostType = 'host-linux-test';
/** A buildlet takes every coordinator but Go's own for one of development, whose key everybody knows. */
const developmentMaster = 'gophers rule';
const waitMs = 30_000;

let pair: KeyPair;
before(async () => {
  pair = await createKeyPair({ clock: systemClock, random: systemRandom });
});

for (const coordinator of makers) {
  for (const buildlet of makers) {
    const pairing = `${version}: ${coordinator}’s coordinator × ${buildlet}’s buildlet`;
    callsContract(`${pairing}, over the line`, () => openGround(coordinator, buildlet));
    describe(pairing, () => endsOfLines(coordinator, buildlet));
  }
}

async function openGround(coordinator: Maker, maker: Maker): Promise<Ground | { readonly missing: string }> {
  if ('missing' in programs) return programs;
  await using stack = new AsyncDisposableStack();
  pair ??= await createKeyPair({ clock: systemClock, random: systemRandom });
  const peer = stack.use(await openCoordinator(coordinator, { programs }));
  const buildlet = stack.use(await startReverse(maker, programs, peer.port));
  const client = await taken(peer, buildlet);
  const owned = stack.move();
  return { client, buildlet, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function openCoordinator(maker: Maker, options: Partial<CoordinatorOptions> & { programs: GoPrograms }): Promise<PeerCoordinator> {
  const open = maker === 'Go' ? openGoCoordinator : openCroftCoordinator;
  return open({ pair, masterKey: developmentMaster, ...options });
}

function startReverse(maker: Maker, given: GoPrograms, port: number, hostname = 'myhost'): Promise<BuildletProcess> {
  const flags = reverseFlags(maker, { coordinator: `127.0.0.1:${port}`, hostType, hostname });
  return startBuildlet(maker, { programs: given, env: process.env, reverse: true, flags });
}

function taken(coordinator: PeerCoordinator, buildlet: BuildletProcess): Promise<PeerClient> {
  const tell = (): string => `${coordinator.log()}\n${buildlet.output()}`;
  return until(() => coordinator.take(hostType), { what: 'the buildlet to register', limitMs: waitMs, tell });
}

/** What happens when one of the two goes away and comes back. */
function endsOfLines(of: Maker, maker: Maker): void {
  const check = (name: string, body: (given: GoPrograms, stack: AsyncDisposableStack, t: TestContext) => Promise<void>): void => {
    void test(name, async (t) => {
      if ('missing' in programs) return t.skip(programs.missing);
      await using stack = new AsyncDisposableStack();
      await body(programs, stack, t);
    });
  };

  check('a coordinator that is one of several sites sends it on to its own place', async (given, stack, t) => {
    if (of === 'Croft') return t.skip('only Go’s coordinator redirects');
    const coordinator = stack.use(await openCoordinator(of, { programs: given, prefix: '/farmer.golang.org' }));
    const buildlet = stack.use(await startReverse(maker, given, coordinator.port));
    const client = await taken(coordinator, buildlet);
    assert.equal(await client.workDir(), buildlet.workDir);
  });

  check('a buildlet that is killed is known to be gone, and one that starts again is taken', async (given, stack) => {
    const coordinator = stack.use(await openCoordinator(of, { programs: given }));
    const buildlet = stack.use(await startReverse(maker, given, coordinator.port));
    const client = await taken(coordinator, buildlet);
    await using running = await startSleeping(client);
    await buildlet.kill('SIGKILL');
    assert.ok((await running.ended).execError, 'nobody knows what became of the command');
    await until(() => client.isBroken(), { what: 'the client to be broken', limitMs: waitMs });
    await buildlet.restart();
    const again = await taken(coordinator, buildlet);
    assert.equal((await again.exec('/bin/echo', { systemLevel: true, args: ['back'] })).output, 'back\n');
  });

  check(
    'when the coordinator is killed and comes back, Croft’s buildlet is there again; Go’s has ended and waits for whoever starts it',
    async (given, stack) => {
      const first = await openCoordinator(of, { programs: given });
      const buildlet = stack.use(await startReverse(maker, given, first.port));
      await taken(first, buildlet);
      await first[Symbol.asyncDispose]();
      const second = stack.use(await openCoordinator(of, { programs: given, port: first.port }));
      if (maker === 'Go') {
        assert.equal(await buildlet.ended, 0);
        await buildlet.restart();
      }
      await taken(second, buildlet);
    },
  );

  check('closing the client ends the buildlet', async (given, stack) => {
    const coordinator = stack.use(await openCoordinator(of, { programs: given }));
    const buildlet = stack.use(await startReverse(maker, given, coordinator.port));
    const client = await taken(coordinator, buildlet);
    await client.close();
    assert.equal(await buildlet.ended, 0);
  });

  check('a wrong key is refused', async (given, stack) => {
    const coordinator = stack.use(await openCoordinator(of, { programs: given, masterKey: 'another master key' }));
    const buildlet = stack.use(await startReverse(maker, given, coordinator.port));
    await until(() => buildlet.output().includes('invalid build key'), { what: 'the refusal', limitMs: waitMs, tell: buildlet.output });
    assert.equal(await coordinator.take(hostType), undefined);
    const key = createHmac('md5', developmentMaster).update(hostType).digest('hex');
    assert.ok(!buildlet.output().includes(key), 'no key is in what it wrote');
  });
}
