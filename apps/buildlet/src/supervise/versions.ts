/**
 * Which version of the buildlet a machine runs, as pure moves. A new one is on trial until it has proven itself; if it does not, the one
 * before it comes back, and the bad one is remembered. There are never more than two: the running one, and another.
 * @see docs/protocols/distribution.md#versions-on-a-machine
 */
import * as z from 'zod';

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/);
const bad = z.array(name).default([]);

/** As it is stored. */
export const versionsSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('none'), bad }),
  /** Started anew; `deaths` since then. */
  z.object({ kind: z.literal('trial'), current: name, previous: name.optional(), deaths: z.number().int(), bad }),
  z.object({ kind: z.literal('proven'), current: name, previous: name.optional(), bad }),
]);
export type Versions = z.infer<typeof versionsSchema>;

export type VersionEvent =
  /** Another one is going to be fetched. */
  | { readonly kind: 'fetching' }
  /** It was fetched, is whole, and nothing runs. */
  | { readonly kind: 'switched'; readonly version: string }
  /** The current one was ready and has lived for a while. */
  | { readonly kind: 'proven' }
  /** The current one ended in a way that nobody asked for. */
  | { readonly kind: 'died' }
  /** The current one was not ready in time. */
  | { readonly kind: 'late' }
  /** The files of the current one are not what they were. */
  | { readonly kind: 'damaged' };

/** Deaths on trial after which the one before comes back. */
export const maxDeaths = 3;
const maxBad = 20;

export function advance(versions: Versions, event: VersionEvent): Versions {
  if (event.kind === 'switched') {
    const previous = versions.kind === 'none' ? {} : { previous: versions.current };
    return { kind: 'trial', current: event.version, ...previous, deaths: 0, bad: versions.bad };
  }
  if (versions.kind === 'none') return versions;
  const { current, previous, bad: known } = versions;
  switch (event.kind) {
    case 'fetching':
      return versions.kind === 'trial'
        ? { kind: 'trial', current, deaths: versions.deaths, bad: known }
        : { kind: 'proven', current, bad: known };
    case 'proven':
      return previous === undefined ? { kind: 'proven', current, bad: known } : { kind: 'proven', current, previous, bad: known };
    case 'died': {
      if (versions.kind === 'proven') return versions;
      const deaths = versions.deaths + 1;
      return deaths >= maxDeaths ? rollBack({ ...versions, deaths }) : { ...versions, deaths };
    }
    case 'late':
      return versions.kind === 'trial' ? rollBack(versions) : versions;
    case 'damaged':
      return previous === undefined ? { kind: 'none', bad: known } : { kind: 'proven', current: previous, bad: known };
    default:
      return event satisfies never;
  }
}

/** Where there is nothing to go back to, the bad one is tried on, and any other is welcome. */
function rollBack(versions: Extract<Versions, { kind: 'trial' }>): Versions {
  const { current, previous, bad: known } = versions;
  if (previous === undefined) return versions;
  return { kind: 'proven', current: previous, bad: [...known.filter((one) => one !== current), current].slice(-maxBad) };
}

/** Whether it is worth fetching. While one is on trial the one before it must stay. */
export function wants(versions: Versions, offered: string): boolean {
  if (versions.kind === 'none') return true;
  if (versions.kind === 'trial' && versions.previous !== undefined) return false;
  return offered !== versions.current && !versions.bad.includes(offered);
}

/** Those whose files must stay. */
export function kept(versions: Versions): string[] {
  if (versions.kind === 'none') return [];
  return versions.previous === undefined ? [versions.current] : [versions.current, versions.previous];
}
