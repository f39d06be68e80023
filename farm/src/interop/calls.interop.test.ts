/** Every call of a client to a buildlet that listens, in each pairing of Go's and ours (buildlet.md Part 6). */
import { goAddress } from '@croft/buildlet/go-client';
import { startBuildlet, type Maker } from './buildlets.ts';
import { callsContract, type Ground } from './calls-contract.ts';
import { croftClient, openGoClients, type PeerClient } from './clients.ts';
import { goPrograms, type GoPrograms } from './go-programs.ts';

const programs = await goPrograms({ env: process.env, progress: (text) => process.stderr.write(`${text}\n`) });
const version = 'missing' in programs ? 'Go' : programs.version;
const makers: readonly Maker[] = ['Go'];

for (const client of ['Go', 'Croft'] as const) {
  for (const buildlet of makers) callsContract(`${version}: ${client}’s client × ${buildlet}’s buildlet`, () => open(client, buildlet));
}

async function open(client: Maker, maker: Maker): Promise<Ground | { readonly missing: string }> {
  if ('missing' in programs) return programs;
  await using stack = new AsyncDisposableStack();
  const buildlet = stack.use(await startBuildlet(maker, { programs, env: process.env }));
  const peer = client === 'Go' ? await connectGo(programs, buildlet.address, stack) : connectCroft(buildlet.address, stack);
  const owned = stack.move();
  return { client: peer, buildlet, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function connectGo({ driver }: GoPrograms, address: string, stack: AsyncDisposableStack): Promise<PeerClient> {
  return stack.use(openGoClients(driver)).connect(address);
}

function connectCroft(address: string, stack: AsyncDisposableStack): PeerClient {
  return stack.use(croftClient(goAddress(address)));
}
