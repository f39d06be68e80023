/** Which way leads to Go's machines: through their own buildlet, with one key of the farm's for each session. */
import { createGoClient } from '@croft/buildlet/go-client';
import type { Clock, Waits } from '@croft/runtime/clock';
import { openGoWays } from './go-ways.ts';
import { newKey, type NewKey } from './new-key.ts';
import type { Visit } from './visit.ts';
import type { Ways } from './ways.ts';

export interface GoMachines {
  /** @throws CroftError `unavailable`, saying which hop failed */
  open(visit: Visit, waits: Waits): Promise<Ways>;
}

export interface GoMachineDeps {
  readonly clock: Clock;
  /** As whom machines of a host type are entered, as it is configured now. */
  sshUser(hostType: string): string | undefined;
}

/** Sessions whose keys are remembered; of more, the oldest gets another one. */
const maxKeys = 1_000;

export function createGoMachines({ clock, sshUser }: GoMachineDeps): GoMachines {
  const keys = new Map<string, NewKey>();
  const keyOf = (session: string): NewKey => {
    const key = keys.get(session) ?? newKey(`croft-${session}`);
    if (!keys.has(session) && keys.size >= maxKeys) keys.delete(keys.keys().next().value ?? '');
    keys.set(session, key);
    return key;
  };
  return {
    async open(visit, waits) {
      const client = createGoClient(visit.buildlet.address, { clock });
      const deps = {
        user: sshUser(visit.session?.hostType ?? ''),
        key: keyOf(visit.session?.id ?? visit.runs),
        tunnel: client.connectSsh,
        clock,
      };
      try {
        const ways = await openGoWays(visit, deps, waits);
        return {
          ...ways,
          async [Symbol.asyncDispose]() {
            await ways[Symbol.asyncDispose]();
            await client[Symbol.asyncDispose]();
          },
        };
      } catch (error) {
        await client[Symbol.asyncDispose]();
        throw error;
      }
    },
  };
}
