/**
 * Commands run as the user of their buildlet. The kernel then lets them read its environment at the start, its memory and its open files in
 * `/proc`, and with them its password and key; unless it says that nobody may. docs/security.md
 */
import { loadFfi } from '../commands/libc.ts';

const PR_GET_DUMPABLE = 3;
const PR_SET_DUMPABLE = 4;

/** True when only root can look into this process from now on. Linux with `node:ffi` alone; programs that it starts are as always. */
export function conceal(): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const ffi = loadFfi();
    if (!ffi) return false;
    const number = 'u64' as const;
    const { prctl } = ffi.dlopen(null, { prctl: { arguments: ['i32', number, number, number, number], return: 'i32' } }).functions;
    const call = (option: number): unknown => prctl(option, 0n, 0n, 0n, 0n);
    return call(PR_SET_DUMPABLE) === 0 && call(PR_GET_DUMPABLE) === 0;
  } catch {
    return false; // not allowed (permission model), or another C library
  }
}
