/** One act on each of the machines that a command is about, at once; the first failure breaks off the others, whose ends are waited for (GRP-7). */
import { anySignal } from '@croft/runtime/clock';
import type { Chosen } from './instances.ts';
import type { Machine, World } from './world.ts';

export async function onEach<T>(
  { sessions }: Pick<Chosen, 'sessions'>,
  world: World,
  act: (machine: Machine, signal: AbortSignal) => Promise<T>,
): Promise<T[]> {
  using interruption = world.cli.interruption();
  const failed = new AbortController();
  const signal = anySignal(interruption.signal, failed.signal);
  const acts = sessions.map(async (session) => {
    await using machine = world.machine(session);
    try {
      return await act(machine, signal);
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  });
  await Promise.allSettled(acts);
  failed.signal.throwIfAborted();
  return Promise.all(acts);
}
