/** The part of RFC 9110 that logs need: a single range of bytes. */

export type Wanted =
  | { readonly kind: 'whole' }
  | { readonly kind: 'part'; readonly from: number; readonly to: number }
  | { readonly kind: 'none' };

/** `to` is exclusive. What is malformed, of another unit or several ranges counts as no Range at all, as the standard allows. */
export function wantedRange(header: string | undefined, length: number): Wanted {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (!match || (first === '' && last === '')) return { kind: 'whole' };
  if (first === '')
    return Number(last) === 0 || length === 0 ? { kind: 'none' } : { kind: 'part', from: Math.max(0, length - Number(last)), to: length };
  if (last !== '' && Number(last) < Number(first)) return { kind: 'whole' };
  if (Number(first) >= length) return { kind: 'none' };
  return { kind: 'part', from: Number(first), to: last === '' ? length : Math.min(length, Number(last) + 1) };
}
