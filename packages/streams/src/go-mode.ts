/** File modes as Go writes them, as text and as a number, from and to those of POSIX. buildlet.md 1.5 and 1.8. Pure. */

/** Letters for the bits of a Go FileMode, from bit 31 down. */
const letters = 'dalTLDpSugct?';
const permissions = 'rwxrwxrwx';

const bit = {
  directory: 2 ** 31,
  link: 2 ** 27,
  device: 2 ** 26,
  fifo: 2 ** 25,
  socket: 2 ** 24,
  setuid: 2 ** 23,
  setgid: 2 ** 22,
  character: 2 ** 21,
  sticky: 2 ** 20,
  irregular: 2 ** 19,
};
const typeBits = bit.directory + bit.link + bit.device + bit.fifo + bit.socket + bit.character + bit.irregular;

/** What `S_IFMT` of POSIX says; a regular file has no bit. */
const ofType = new Map([
  [0o010000, bit.fifo],
  [0o020000, bit.device + bit.character],
  [0o040000, bit.directory],
  [0o060000, bit.device],
  [0o100000, 0],
  [0o120000, bit.link],
  [0o140000, bit.socket],
]);
const ofFlag = [
  [0o4000, bit.setuid],
  [0o2000, bit.setgid],
  [0o1000, bit.sticky],
] as const;

export function goModeOf(posix: number): number {
  const flags = ofFlag.filter(([flag]) => posix & flag).reduce((sum, [, value]) => sum + value, 0);
  return (ofType.get(posix & 0o170000) ?? bit.irregular) + flags + (posix & 0o777);
}

/** The permissions with set-id and sticky bits that a decimal number stands for; undefined unless it is that of a regular file. */
export function posixModeOf(decimal: string): number | undefined {
  const mode = /^\d{1,10}$/.test(decimal) ? Number(decimal) : Infinity;
  if (mode >= 2 ** 32 || (mode & typeBits) !== 0) return undefined;
  const flags = ofFlag.filter(([, value]) => mode & value).reduce((sum, [flag]) => sum + flag, 0);
  return flags + (mode & 0o777);
}

/** `drwxr-xr-x`, `-rw-r--r--`, `Lrwxrwxrwx`, `urwxr-xr-x`. */
export function goModeText(posix: number): string {
  const mode = goModeOf(posix);
  const set = Array.from(letters, (letter, at) => ((mode >>> (31 - at)) & 1 ? letter : '')).join('');
  const allowed = Array.from(permissions, (letter, at) => ((mode >>> (8 - at)) & 1 ? letter : '-')).join('');
  return (set || '-') + allowed;
}
