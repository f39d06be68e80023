/** The pools as the configuration has them. One that is not there any more stays until its machines have ended what they do. */
import type { Pool as Declared } from '@croft/config/farm-config';
import type { Pool } from '@croft/fleet/pool';
import { CroftError } from '@croft/runtime/errors';

type Kind = Declared['kind'];
type OfKind<K extends Kind> = Extract<Declared, { readonly kind: K }>;

/** A pool that is told what there shall be from the next `reconcile` on. */
export interface KindPool<D extends Declared> extends Pool {
  declare(declared: D): void;
}

/** One for each kind. What it opens is drained until it is told what there shall be; `names` tells which pools there are. */
export type Openers = { readonly [K in Kind]: (pool: OfKind<K>, names: () => readonly string[]) => Promise<KindPool<OfKind<K>>> };

export interface Pools extends AsyncDisposable {
  list(): readonly Pool[];
  /**
   * Opens what is new, changes what is there, drains what is gone. When it fails nothing has changed.
   * @throws CroftError `invalid` for a pool that has machines of another kind
   */
  declare(pools: readonly Declared[]): Promise<void>;
}

export async function openPools(first: readonly Declared[], openers: Openers): Promise<Pools> {
  await using stack = new AsyncDisposableStack();
  const opened = stack.use(new AsyncDisposableStack());
  const pools = new Map<string, { readonly kind: Kind; readonly pool: KindPool<Declared> }>();
  const open = async (declared: Declared): Promise<KindPool<Declared>> => {
    const opener: (pool: never, names: () => readonly string[]) => Promise<KindPool<never>> = openers[declared.kind];
    const pool = opened.use(await opener(declared as never, () => [...pools.keys()])) as KindPool<Declared>;
    pool.drain();
    return pool;
  };
  const declare = async (declared: readonly Declared[]): Promise<void> => {
    for (const { name, kind } of declared) refuseOtherKind(name, kind, pools.get(name)?.kind);
    for (const one of declared) if (!pools.has(one.name)) pools.set(one.name, { kind: one.kind, pool: await open(one) });
    for (const [name, { pool }] of pools) {
      const wanted = declared.find((one) => one.name === name);
      if (wanted) pool.declare(wanted);
      else pool.drain();
    }
  };
  await declare(first);
  const owned = stack.move();
  return { list: () => [...pools.values()].map(({ pool }) => pool), declare, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Its machines of the other kind would have the same names. */
function refuseOtherKind(name: string, kind: Kind, before: Kind | undefined): void {
  if (before === undefined || before === kind) return;
  throw new CroftError('invalid', `the pool "${name}" has machines of the kind ${before} and is declared as ${kind}`, {
    hint: 'Give the new pool another name; the machines of the old one end what they do and go.',
  });
}
