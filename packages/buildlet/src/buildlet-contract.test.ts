/** The port on all that stands behind it: our buildlet, by each way to it; a machine in memory and Go's own buildlet, by the adapter. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import type { BuildletAddress } from './address.ts';
import { buildletContract, contractCommands, type BuildletStage } from './buildlet-contract.ts';
import { rawContract } from './raw-contract.ts';
import { createBuildlet } from './client.ts';
import { createFakeMachine } from './fake.ts';
import { createGoBuildlet } from './go-buildlet.ts';
import { createKeyPair } from './key-pair.ts';
import { goBuildletProgram, startGoBuildlet } from './testing-go.ts';
import { startTestBuildlet, type TestBuildletOptions } from './testing.ts';

async function ours(options: TestBuildletOptions, way = (address: BuildletAddress) => address): Promise<BuildletStage> {
  await using stack = new AsyncDisposableStack();
  const machine = stack.use(await startTestBuildlet(options));
  const buildlet = stack.use(createBuildlet(way(machine.address), { clock: systemClock }));
  const owned = stack.move();
  return { buildlet, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function adapted(address: BuildletAddress, stack = new AsyncDisposableStack()): Promise<BuildletStage> {
  const spoolDir = await mkdtemp(join(tmpdir(), 'croft-spool-'));
  stack.defer(() => rm(spoolDir, { recursive: true }));
  const buildlet = stack.use(createGoBuildlet(address, { clock: systemClock, random: systemRandom, spoolDir }));
  return { buildlet, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

function dialled({ socketPath = '', password }: BuildletAddress): BuildletAddress {
  const dial = async (): Promise<Duplex> => {
    const socket = connect(socketPath);
    await once(socket, 'connect');
    return socket;
  };
  return { dial, name: 'localhost', password };
}

const ways: Readonly<Record<string, () => Promise<BuildletStage>>> = {
  'our buildlet on a Unix socket': () => ours({}),
  'our buildlet on TCP': () => ours({ listen: '127.0.0.1:0' }),
  'our buildlet over connections that were given': () => ours({}, dialled),
  'our buildlet over TLS with a pinned key': async () => {
    const keyPair = await createKeyPair({ clock: systemClock, random: systemRandom });
    return ours({ listen: '127.0.0.1:0', keyPair });
  },
};
for (const [name, open] of Object.entries(ways)) {
  buildletContract(name, open);
  rawContract(name, open);
}

buildletContract('our buildlet by Go’s endpoints alone', async () => {
  const stack = new AsyncDisposableStack();
  return adapted(stack.use(await startTestBuildlet()).address, stack);
});

buildletContract('a machine in memory', () => {
  const machine = createFakeMachine({ clock: systemClock, commands: contractCommands });
  const stack = new AsyncDisposableStack();
  stack.use(machine);
  return adapted(machine.address, stack);
});

const program = await goBuildletProgram(process.env);
buildletContract(
  'Go’s buildlet',
  async () => {
    const stack = new AsyncDisposableStack();
    return adapted(stack.use(await startGoBuildlet(program ?? '', process.env)).address, stack);
  },
  { skip: program === undefined ? 'no buildlet of Go’s was built; `npm run interop` builds it' : undefined },
);
