/** Damping of machines whose line comes and goes: pure, from when lines ended that had not lasted. */
import { MINUTE, SECOND } from '@croft/runtime/clock';

/** A line that ends sooner has not lasted, ms. */
const lastsMs = MINUTE;
/** What is longer ago does not count, ms. */
const rememberedMs = 10 * MINUTE;
/** So many in that time are an accident. */
const tolerated = 2;
const firstHoldMs = 30 * SECOND;
const longestHoldMs = 10 * MINUTE;

/** Instants of such ends, oldest first. */
export type ShortLines = readonly number[];

/** With a line that has ended now. */
export function noteEnd(before: ShortLines, { since, now }: { readonly since: number; readonly now: number }): ShortLines {
  const recent = before.filter((at) => now - at < rememberedMs);
  return now - since < lastsMs ? [...recent, now].slice(-20) : recent;
}

/** Until when it gets no new work; undefined when it may have some. Each further end doubles it. */
export function heldUntil(ends: ShortLines, now: number): number | undefined {
  const recent = ends.filter((at) => now - at < rememberedMs);
  const last = recent.at(-1);
  if (last === undefined || recent.length <= tolerated) return undefined;
  const until = last + Math.min(longestHoldMs, firstHoldMs * 2 ** (recent.length - tolerated - 1));
  return until > now ? until : undefined;
}
