/** The pools as the configuration has them. One that is not there any more stays until its machines have ended what they do. */
import type { LocalPool as Declared } from '@croft/config/farm-config';
import type { LocalPool, Declared as Wanted } from '@croft/fleet/local-pool';
import type { Pool } from '@croft/fleet/pool';

export interface Pools extends AsyncDisposable {
  list(): readonly Pool[];
  /** Opens what is new, changes what is there, drains what is gone. */
  declare(pools: readonly Declared[]): Promise<void>;
}

export async function openPools(first: readonly Declared[], open: (pool: Declared) => Promise<LocalPool>): Promise<Pools> {
  await using stack = new AsyncDisposableStack();
  const opened = stack.use(new AsyncDisposableStack());
  const pools = new Map<string, { readonly pool: LocalPool; wanted: Wanted }>();
  const declare = async (declared: readonly Declared[]): Promise<void> => {
    const fresh = declared.filter(({ name }) => !pools.has(name));
    // First and empty: when one of them fails nothing has changed.
    for (const wanted of fresh) pools.set(wanted.name, { pool: opened.use(await open({ ...wanted, size: 0 })), wanted });
    for (const wanted of declared) {
      const known = pools.get(wanted.name);
      known?.pool.declare((known.wanted = wanted));
    }
    for (const [name, { pool, wanted }] of pools) if (!declared.some((one) => one.name === name)) pool.declare({ ...wanted, size: 0 });
  };
  await declare(first);
  const owned = stack.move();
  return { list: () => [...pools.values()].map(({ pool }) => pool), declare, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
