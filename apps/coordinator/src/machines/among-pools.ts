/** What is asked of all pools together. */
import type { Buildlet } from '@croft/buildlet/client';
import type { MachineId } from '@croft/domain/names';
import type { Pool } from '@croft/fleet/pool';
import type { Trouble } from '@croft/protocol/api';
import { CroftError, isCode } from '@croft/runtime/errors';

/** @throws CroftError `unavailable` for a machine of no pool */
export function connect(pools: readonly Pool[], id: MachineId): Buildlet {
  for (const pool of pools) {
    try {
      return pool.connect(id);
    } catch (error) {
      if (!isCode(error, 'not-found')) throw error;
    }
  }
  throw new CroftError('unavailable', `machine ${id} belongs to no pool`);
}

/** What pools see that belongs to nobody: each once, also where two of them see it, with when it was first seen. */
export function toldStrays(pools: readonly Pool[], before: readonly Trouble[], now: number): Trouble[] {
  const seen = new Map(pools.flatMap((pool) => (pool.strays?.() ?? []).map((text): [string, string] => [text, `pool ${pool.name}`])));
  return [...seen].map(([text, what]) => before.find((one) => one.text === text) ?? { what, text, since: now });
}

/** Each pool that is given is watched from then on, once. */
export function createWatchOnce(onChange: () => void): (pool: Pool) => void {
  const watched = new WeakSet<Pool>();
  return (pool) => {
    if (watched.has(pool)) return;
    watched.add(pool);
    pool.watch?.(onChange);
  };
}
