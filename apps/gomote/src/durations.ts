/** Times as people type and read them: `90m`, `2h`, `1h30m`. Pure. */
import { DAY, HOUR, MINUTE, SECOND } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';

const units: Readonly<Record<string, number>> = { d: DAY, h: HOUR, m: MINUTE, s: SECOND };

/** @throws CroftError `invalid` */
export function parseDuration(text: string, what: string): number {
  const parts = [...text.matchAll(/(\d{1,6})([dhms])/g)];
  const ms = parts.reduce((sum, [, count, unit = '']) => sum + Number(count) * (units[unit] ?? 0), 0);
  if (ms > 0 && parts.map(([part]) => part).join('') === text) return ms;
  throw new CroftError('invalid', `${what} ${JSON.stringify(text)} is not a time`, { hint: 'Write it like 45m, 2h or 1h30m.' });
}

/** As Go writes it, in whole seconds: `1h0m5s`, `29m59s`. */
export function goDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / SECOND));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const tail = `${seconds % 60}s`;
  if (hours > 0) return `${hours}h${minutes}m${tail}`;
  return minutes > 0 ? `${minutes}m${tail}` : tail;
}
