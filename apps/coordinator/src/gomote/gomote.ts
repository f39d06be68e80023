/** All ways to borrowed machines over the port of the pages, wired: the farm's own, and the two of Go's gomote. */
import { join } from 'node:path';
import type { Clock } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { createTaskGroup } from '@croft/runtime/tasks';
import type { Attempts } from '@croft/web/attempts';
import type { RawHandler } from '@croft/web/listener';
import type { Auth } from '../auth/auth.ts';
import type { Capabilities } from '../capabilities.ts';
import type { SshAccess } from '../door/access.ts';
import type { BuilderKeys } from '../originals/builder-keys.ts';
import type { RpcDeps } from '../originals/rpc.ts';
import { createMachineProxy } from './machine-proxy.ts';
import { createObjects } from './objects.ts';
import { keepSweeping, openTransfers } from './transfers.ts';
import { createV1 } from './v1.ts';
import { gomoteRpc } from './v2.ts';
import type { VisitOptions } from './visit.ts';

export interface GomoteDeps extends VisitOptions {
  readonly capabilities: Pick<Capabilities, 'sessions' | 'farmer'>;
  readonly auth: Pick<Auth, 'identify' | 'tokens' | 'audit'>;
  /** Of the originals; undefined where they are not accepted. */
  readonly keys: BuilderKeys | undefined;
  /** Wrong passwords of Go's clients. */
  readonly attempts: Attempts;
  readonly ssh: Pick<SshAccess, 'certify'> | undefined;
  readonly dataDir: string;
  readonly lowWaterBytes: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface Gomote extends AsyncDisposable {
  /** Go before the handlers of every address, since one of them is told by a header alone. */
  readonly raw: readonly RawHandler[];
  readonly rpc: NonNullable<RpcDeps['others']>[number];
}

const maxTransferBytes = 16 * 1024 ** 3;
const maxTransfers = 100;

export async function openGomote({ capabilities, auth, dataDir, lowWaterBytes, ...given }: GomoteDeps): Promise<Gomote> {
  const { clock, random, log } = given;
  const deps = { ...given, ...auth, ...capabilities };
  await using stack = new AsyncDisposableStack();
  const limits = { maxBytes: maxTransferBytes, maxObjects: maxTransfers, lowWaterBytes };
  const transfers = stack.use(await openTransfers({ dir: join(dataDir, 'transfers'), limits, clock, random }));
  const sweeping = stack.use(createTaskGroup((task, error) => log.error('background work stopped', { task, error: errorText(error) })));
  sweeping.start('transfers', (waits) => keepSweeping(transfers, clock, waits));
  const owned = stack.move();
  return {
    raw: [createV1(deps), createObjects({ ...deps, transfers }), createMachineProxy(deps)],
    rpc: gomoteRpc({ ...deps, transfers }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
