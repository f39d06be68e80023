/** Every call of a client to a buildlet that listens, in each pairing of Go's and ours (buildlet.md Part 6). */
import { goPrograms } from './go-programs.ts';
import { startBuildlet, type Maker } from './buildlets.ts';
import { callsContract, type Ground } from './calls-contract.ts';
import { openGoClients } from './clients.ts';

const programs = await goPrograms({ env: process.env, progress: (text) => process.stderr.write(`${text}\n`) });

const version = 'missing' in programs ? 'Go' : programs.version;

for (const maker of ['Go'] as const) callsContract(`${version}: Go’s client × ${maker}’s buildlet`, () => openGo(maker));

async function openGo(maker: Maker): Promise<Ground | { readonly missing: string }> {
  if ('missing' in programs) return programs;
  await using stack = new AsyncDisposableStack();
  const buildlet = stack.use(await startBuildlet(maker, { programs, env: process.env }));
  const clients = stack.use(openGoClients(programs.driver));
  const client = await clients.connect(buildlet.address);
  const owned = stack.move();
  return { client, buildlet, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
