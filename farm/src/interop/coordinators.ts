/** Where buildlets register, Go's and ours, behind one face. */
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { openTestDoor } from '@croft-apps/coordinator/testing-door';
import type { KeyPair } from '@croft/buildlet/key-pair';
import { createReverseDesk, type Arrival } from '@croft/fleet/reverse-desk';
import { systemClock } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { createDialers } from '@croft/streams/revdial-dialer';
import { croftClient, goClient, type PeerClient } from './clients.ts';
import { startGoDriver } from './go-driver.ts';
import type { GoPrograms } from './go-programs.ts';

export interface Registry extends AsyncDisposable {
  readonly port: number;
  /** Whether a buildlet of this kind has registered, and nobody uses it. */
  has(hostType: string): Promise<boolean>;
  log(): string;
}

export interface PeerCoordinator extends Registry {
  /** The client of a buildlet of this kind that is there and idle, which is busy from then on. */
  take(hostType: string): Promise<PeerClient | undefined>;
}

export interface CoordinatorOptions {
  readonly programs: GoPrograms;
  readonly pair: KeyPair;
  readonly masterKey: string;
  /** Any free one when absent. */
  readonly port?: number;
  /** It is one of several sites under one name and sends buildlets on to its own place. */
  readonly prefix?: string;
}

export async function openGoCoordinator({
  programs,
  pair,
  masterKey,
  port = 0,
  prefix = '',
}: CoordinatorOptions): Promise<PeerCoordinator> {
  const driver = startGoDriver(programs.driver);
  const listening = { address: `127.0.0.1:${port}`, cert: pair.certificate, key: pair.key, masterKey, prefix };
  const { port: bound } = await driver.call<{ port: number }>('listen', listening);
  const take: PeerCoordinator['take'] = async (hostType) => {
    const { client } = await driver.call<{ client: string }>('grab', { hostType });
    return client === '' ? undefined : goClient(driver, client);
  };
  return {
    port: bound,
    take,
    has: async (hostType) => (await take(hostType)) !== undefined,
    log: driver.log,
    [Symbol.asyncDispose]: () => driver[Symbol.asyncDispose](),
  };
}

/** Our door and our side of the lines, with our client over each of them. */
export async function openCroftCoordinator({ pair, masterKey, port = 0 }: CoordinatorOptions): Promise<PeerCoordinator> {
  await using stack = new AsyncDisposableStack();
  const { log, text } = keepLog();
  const dialers = createDialers({ clock: systemClock, random: systemRandom, path: '/revdial' });
  const clients = stack.use(new AsyncDisposableStack());
  const idle: { readonly hostType: string; readonly client: PeerClient }[] = [];
  const receive = async ({ hostType, host, boot }: Arrival, control: Duplex): Promise<void> => {
    const dialer = dialers.open(control, { peer: boot === undefined ? 'go' : 'croft' });
    const client = clients.use(croftClient({ dial: (waits) => dialer.dial(waits), name: host, password: '' }));
    void dialer.done.then(() => client.markBroken());
    await client.status();
    idle.push({ hostType, client });
  };
  const desk = {
    refuse: () => undefined,
    receive: (arrival: Arrival, control: Duplex) =>
      void receive(arrival, control).catch((error: unknown) => log.warn(`${arrival.host}: ${errorText(error)}`)),
    claim: (query: URLSearchParams) => dialers.claim(query),
  };
  const listener = stack.use(await openTestDoor({ desk, tls: { cert: pair.certificate, key: pair.key }, masterKey, port, log }));
  stack.use(dialers); // before the listener, which would wait for the lines
  const owned = stack.move();
  return {
    port: listener.port,
    has: async (hostType) => idle.some((one) => one.hostType === hostType),
    async take(hostType) {
      const at = idle.findIndex((one) => one.hostType === hostType);
      return at < 0 ? undefined : idle.splice(at, 1)[0]?.client;
    },
    log: text,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Our door and our reverse pool, as they are in a farm. */
export async function openCroftPool({ pair, masterKey, port = 0 }: CoordinatorOptions, hostType: string): Promise<Registry> {
  await using stack = new AsyncDisposableStack();
  const { log, text } = keepLog();
  const { path: spoolDir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'croft-interop-')));
  const desk = createReverseDesk({ clock: systemClock, random: systemRandom, log });
  const pool = stack.use(desk.open({ name: 'rack', known: [], spoolDir }));
  pool.declare({ hostType, labels: [], expect: 1 });
  const listener = stack.use(await openTestDoor({ desk, tls: { cert: pair.certificate, key: pair.key }, masterKey, port, log }));
  stack.use(desk);
  const owned = stack.move();
  return {
    port: listener.port,
    has: async () => (await pool.reconcile({})).some(({ state }) => state === 'up'),
    log: text,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function keepLog(): { log: Log; text: () => string } {
  let text = '';
  const note = (message: string, fields: object = {}): void => void (text += `${message} ${JSON.stringify(fields)}\n`);
  const log: Log = { debug: note, info: note, warn: note, error: note, with: () => log };
  return { log, text: () => text };
}
