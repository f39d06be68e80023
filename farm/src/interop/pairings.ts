/** Each pairing of Go's and our client with Go's and our buildlet, the buildlet listening. */
import { goAddress } from '@croft/buildlet/go-client';
import type { KeyPair } from '@croft/buildlet/key-pair';
import { startBuildlet, type BuildletOptions, type BuildletProcess, type Maker } from './buildlets.ts';
import { croftClient, openGoClients, type PeerClient } from './clients.ts';
import type { GoPrograms } from './go-programs.ts';

export interface Pairing {
  readonly client: Maker;
  readonly buildlet: Maker;
}

const makers: readonly Maker[] = ['Go', 'Croft'];
export const pairings: readonly Pairing[] = makers.flatMap((client) => makers.map((buildlet): Pairing => ({ client, buildlet })));

export function pairingName({ client, buildlet }: Pairing, programs: GoPrograms | { readonly missing: string }): string {
  return `${'missing' in programs ? 'Go' : programs.version}: ${client}’s client × ${buildlet}’s buildlet`;
}

export function linePairingName({ client, buildlet }: Pairing, programs: GoPrograms | { readonly missing: string }): string {
  return `${'missing' in programs ? 'Go' : programs.version}: ${client}’s coordinator × ${buildlet}’s buildlet`;
}

export interface Peers extends AsyncDisposable {
  readonly client: PeerClient;
  readonly buildlet: BuildletProcess;
}

/** @param keyPair of the client; the buildlet's is in its environment */
export async function openPeers(pairing: Pairing, options: BuildletOptions, keyPair?: KeyPair): Promise<Peers> {
  await using stack = new AsyncDisposableStack();
  const buildlet = stack.use(await startBuildlet(pairing.buildlet, options));
  const client = await connectTo(buildlet.address, { maker: pairing.client, programs: options.programs, keyPair }, stack);
  const owned = stack.move();
  return { client, buildlet, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export interface Connecting {
  readonly maker: Maker;
  readonly programs: GoPrograms;
  readonly keyPair?: KeyPair | undefined;
}

export async function connectTo(
  address: string,
  { maker, programs, keyPair }: Connecting,
  stack: AsyncDisposableStack,
): Promise<PeerClient> {
  if (maker === 'Croft') return stack.use(croftClient(goAddress(address, keyPair)));
  const pair = keyPair && { cert: keyPair.certificate, key: keyPair.key };
  return stack.use(openGoClients(programs.driver)).connect(address, pair);
}
