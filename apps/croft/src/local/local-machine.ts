/**
 * One machine of the local pool for the time of a run: a real buildlet over a directory, spoken to over its socket. Disposal ends it
 * with all that it runs.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Buildlet } from '@croft/buildlet/client';
import { openLocalPool } from '@croft/fleet/local-pool';
import { anySignal, MINUTE, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { createTaskGroup } from '@croft/runtime/tasks';

export interface LocalMachine extends AsyncDisposable {
  readonly buildlet: Buildlet;
}

export interface MachineDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly random: Random;
}

const buildletMain = fileURLToPath(new URL('../../../buildlet/src/main.ts', import.meta.url));
const startMs = 30 * SECOND;
const endMs = 15 * SECOND;
/** Killed, this program leaves a buildlet that ends its commands and itself after so long; stopped with Ctrl-Z it may go on until then. */
const orphanedMs = 5 * MINUTE;

/** @throws CroftError `unavailable` when the buildlet does not come up, with what it said */
export async function openLocalMachine(dir: string, { env, clock, random }: MachineDeps, { signal }: Waits): Promise<LocalMachine> {
  await using stack = new AsyncDisposableStack();
  const command = async (): Promise<[string, ...string[]]> => [process.execPath, '--disable-warning=ExperimentalWarning', buildletMain];
  const declared = { size: 1, hostType: 'local', labels: [], orphanedMs };
  const pool = stack.use(
    await openLocalPool({ ...declared, name: 'local', dir: join(dir, 'machines'), command, env }, { clock, random, log: silentLog }),
  );
  stack.defer(() => pool.endAll({ signal: clock.deadline(endMs) }));
  const deadline = anySignal(signal, clock.deadline(startMs));
  for (;;) {
    const [machine] = await pool.reconcile({ signal: deadline }).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw new CroftError('unavailable', 'the buildlet that runs the steps did not start', { cause: error });
    });
    if (machine?.state === 'up') {
      const buildlet = pool.connect(machine.id);
      stack.use(stayHeard(buildlet, clock));
      const owned = stack.move();
      return { buildlet, [Symbol.asyncDispose]: () => owned.disposeAsync() };
    }
    await clock.sleep(20, { signal: deadline }).catch(() => {
      signal?.throwIfAborted();
      throw new CroftError('unavailable', `the buildlet that runs the steps did not start: ${machine?.evidence ?? 'it was not seen'}`);
    });
  }
}

/** A buildlet that hears nothing for long takes its coordinator for gone, also while a command is quiet. */
function stayHeard(buildlet: Buildlet, clock: Clock): AsyncDisposable {
  const tasks = createTaskGroup(() => undefined);
  tasks.start('stay heard', async (waits) => {
    for (;;) {
      await clock.sleep(5 * SECOND, waits);
      await buildlet.status(waits).catch(() => waits.signal.throwIfAborted()); // how it stands with it the run's own calls say
    }
  });
  return tasks;
}
