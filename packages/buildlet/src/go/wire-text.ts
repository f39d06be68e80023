/** How Go writes what it sends: queries and forms with sorted keys, and modes of files. @see buildlet.md 1.8 and 3.4 */

export type Pairs = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Keys sorted, each value in its order, a space as `+`. */
export function goForm(pairs: Pairs): string {
  const keys = Object.keys(pairs).toSorted();
  return keys.flatMap((key) => [pairs[key] ?? []].flat().map((value) => `${escaped(key)}=${escaped(value)}`)).join('&');
}

function escaped(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');
}

const goBits = [
  [0o4000, 2 ** 23],
  [0o2000, 2 ** 22],
  [0o1000, 2 ** 20],
] as const;

/** A mode as `stat` tells it (`0o755`, `0o4755`) as Go's `FileMode`. */
export function goFileMode(mode: number): number {
  return goBits.reduce((sum, [posix, go]) => sum + ((mode & posix) === 0 ? 0 : go), mode & 0o777);
}
