/** Times, durations and sizes as people read them. Used by pages and, in the browser, by the islands: no imports. */

/** `0.8 s`, `14 s`, `3 m 05 s`, `1 h 20 m`, `3 d 4 h`. Negative counts as nothing. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${pad(whole % 60)} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} m`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** `now`, `20 s ago`, `in 3 min`; older than 30 days: the day. */
export function formatRelative(at: number, now: number): string {
  const distance = Math.abs(now - at);
  if (distance < 5_000) return 'now';
  if (distance > 30 * 86_400_000) return utc(at).slice(0, 10);
  const text = coarse(distance / 1000);
  return at <= now ? `${text} ago` : `in ${text}`;
}

/** `512 B`, `3.4 KiB`, `1.0 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

let formatter: Intl.DateTimeFormat | undefined;

/** Swedish dates are ISO dates; a formatter needs no `Date`. Made when it is used: that takes 10 ms, which command lines have no use for. */
function utc(at: number): string {
  formatter ??= new Intl.DateTimeFormat('sv-SE', { timeZone: 'UTC', dateStyle: 'short', timeStyle: 'medium' });
  return formatter.format(at);
}

/** `2026-01-31 23:59:07 UTC`; no locale, so that two people read the same. */
export function formatInstant(at: number): string {
  return `${utc(at)} UTC`;
}

/** `2026-01-31T23:59:07Z`. */
export function iso(at: number): string {
  return `${utc(at).replace(' ', 'T')}Z`;
}

function coarse(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}
