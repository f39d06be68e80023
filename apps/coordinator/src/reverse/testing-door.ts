/** The door for machines that dial in, on a listener of its own, for tests that hold other ends of the lines than a farm. */
import { systemClock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import { createAttempts } from '@croft/web/attempts';
import { serve, type Listener } from '@croft/web/listener';
import { createBuilderKeys } from '../originals/builder-keys.ts';
import { createReverseDoor, type DoorDeps } from './door.ts';

export interface TestDoor {
  readonly desk: DoorDeps['desk'];
  readonly tls: { readonly cert: string; readonly key: string };
  /** What Go's keys are made from. */
  readonly masterKey: string;
  readonly port: number;
  readonly log: Log;
}

/** On loopback, with Go's keys alone. */
export function openTestDoor({ desk, tls, masterKey, port, log }: TestDoor): Promise<Listener> {
  const door = createReverseDoor({
    desk,
    keys: { lets: async () => false },
    goKeys: createBuilderKeys(masterKey, []),
    behindProxy: false,
    attempts: createAttempts(systemClock),
    audit: { refused: async () => undefined },
    log,
  });
  return serve(() => new Response(null, { status: 404 }), { host: '127.0.0.1', port, tls, log, graceMs: 50, raw: [door] });
}
