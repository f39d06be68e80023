/** The SSH door of a farm, as its configuration says: its keys, its listener, and what people are told of it. */
import type { Ssh } from '@croft/config/farm-config';
import type { Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import type { Database } from '@croft/store/database';
import type { Audit } from '../auth/audit.ts';
import type { Metrics } from '../events.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Shells } from '../sessions/shells.ts';
import { createSshAccess, type SshAccess } from './access.ts';
import { openDoor } from './door.ts';
import { openFarmKeys } from './farm-keys.ts';
import type { People } from './people.ts';

export interface FarmDoorDeps {
  readonly db: Pick<Database, 'read' | 'write'>;
  readonly sessions: Sessions;
  readonly shells: Shells;
  readonly people: People;
  readonly audit: Audit;
  readonly metrics: Pick<Metrics, 'ssh'>;
  /** As whom Go's machines of a host type are entered. */
  sshUser(hostType: string): string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** @throws CroftError `unavailable` for an address that cannot be bound */
export async function openFarmDoor(config: Ssh, deps: FarmDoorDeps): Promise<SshAccess & AsyncDisposable> {
  const keys = await openFarmKeys(deps.db);
  const host = config.publicHost ?? (isAnyAddress(config.host) ? 'localhost' : config.host);
  const door = await openDoor({ listenHost: config.host, listenPort: config.port, orAnyPort: config.orAnyPort }, { ...deps, keys, host });
  deps.log.info('ssh door opened', { host: config.host, port: door.port });
  return {
    ...createSshAccess(keys, { host, port: door.port }, deps),
    [Symbol.asyncDispose]: () => door[Symbol.asyncDispose](),
  };
}

function isAnyAddress(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}
