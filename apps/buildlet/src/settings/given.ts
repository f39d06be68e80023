/**
 * Texts that are given in a file, or in a descriptor that whoever started us has opened (`fd:N`): a secret that this user, and with it every
 * command, could not open again.
 */
import { closeSync, openSync, readFileSync } from 'node:fs';

/** Without white space around it. A descriptor is used up. @throws the system's error */
export function readGiven(place: string): string {
  const fd = descriptorOf(place);
  if (fd === undefined) return readFileSync(place, 'utf8').trim();
  try {
    return readFileSync(fd, 'utf8').trim();
  } finally {
    closeSync(fd);
    if (fd <= 2) openSync('/dev/null', 'r+'); // takes its number, which nothing else must get
  }
}

/** Undefined for a path. */
export function descriptorOf(place: string): number | undefined {
  const [, fd] = /^fd:(\d{1,4})$/.exec(place) ?? [];
  return fd === undefined ? undefined : Number(fd);
}
