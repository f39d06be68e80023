/** A coordinator of Go's or ours, and a buildlet of either that has dialled it. */
import type { KeyPair } from '@croft/buildlet/key-pair';
import { MINUTE } from '@croft/runtime/clock';
import { until } from '../testing-waiting.ts';
import { reverseFlags, startBuildlet, type BuildletOptions, type BuildletProcess, type Maker } from './buildlets.ts';
import type { Ground } from './calls-contract.ts';
import type { PeerClient } from './clients.ts';
import { openCroftCoordinator, openGoCoordinator, type CoordinatorOptions, type PeerCoordinator } from './coordinators.ts';
import type { Pairing } from './pairings.ts';

export const hostType = 'host-linux-test';
/** A buildlet takes every coordinator but Go's own for one of development, whose key everybody knows. */
export const developmentMaster = 'gophers rule';
const waitMs = MINUTE / 2;

export type LineOptions = Omit<BuildletOptions, 'reverse'> & { readonly pair: KeyPair };

/** @param pairing its client is the coordinator's */
export async function openLine(pairing: Pairing, options: LineOptions): Promise<Ground> {
  await using stack = new AsyncDisposableStack();
  const coordinator = stack.use(await openCoordinator(pairing.client, options));
  const buildlet = stack.use(await startReverse(pairing.buildlet, coordinator.port, options));
  const client = await taken(coordinator, buildlet);
  const owned = stack.move();
  return { client, buildlet, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export type OpenCoordinator = Pick<CoordinatorOptions, 'programs' | 'pair'> & Partial<CoordinatorOptions>;

export function openCoordinator(maker: Maker, { programs, pair, port, prefix, masterKey }: OpenCoordinator): Promise<PeerCoordinator> {
  const open = maker === 'Go' ? openGoCoordinator : openCroftCoordinator;
  const place = { ...(port === undefined ? {} : { port }), ...(prefix === undefined ? {} : { prefix }) };
  return open({ programs, pair, masterKey: masterKey ?? developmentMaster, ...place });
}

export function startReverse(maker: Maker, port: number, { flags = [], ...options }: Omit<LineOptions, 'pair'>): Promise<BuildletProcess> {
  const dialling = reverseFlags(maker, { coordinator: `127.0.0.1:${port}`, hostType, hostname: 'myhost' });
  return startBuildlet(maker, { ...options, reverse: true, flags: [...dialling, ...flags] });
}

/** The client of the buildlet, once it has registered. */
export function taken(coordinator: PeerCoordinator, buildlet: BuildletProcess): Promise<PeerClient> {
  const tell = (): string => `${coordinator.log()}\n${buildlet.output()}`;
  return until(() => coordinator.take(hostType), { what: 'the buildlet to register', limitMs: waitMs, tell });
}
