/** Go's reverse pool and ours behind one face. */
import type { KeyPair } from '@croft/buildlet/key-pair';
import type { Maker } from './buildlets.ts';
import { goClient, type PeerClient } from './clients.ts';
import { startGoDriver } from './go-driver.ts';
import type { GoPrograms } from './go-programs.ts';

export interface PeerCoordinator extends AsyncDisposable {
  readonly maker: Maker;
  readonly port: number;
  /** The client of a buildlet of this kind that is there and idle, which is busy from then on. */
  take(hostType: string): Promise<PeerClient | undefined>;
  log(): string;
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
  return {
    maker: 'Go',
    port: bound,
    async take(hostType) {
      const { client } = await driver.call<{ client: string }>('grab', { hostType });
      return client === '' ? undefined : goClient(driver, client);
    },
    log: driver.log,
    [Symbol.asyncDispose]: () => driver[Symbol.asyncDispose](),
  };
}
