/** The trailer `Process-State`: how a command ended, in the words of Go's programs. buildlet.md 1.10. */
import { constants } from 'node:os';
import type { Exited } from '../commands/command.ts';

const signalWords = new Map<number, string>([
  [1, 'hangup'],
  [2, 'interrupt'],
  [3, 'quit'],
  [4, 'illegal instruction'],
  [5, 'trace/breakpoint trap'],
  [6, 'aborted'],
  [7, 'bus error'],
  [8, 'floating point exception'],
  [9, 'killed'],
  [10, 'user defined signal 1'],
  [11, 'segmentation fault'],
  [12, 'user defined signal 2'],
  [13, 'broken pipe'],
  [14, 'alarm clock'],
  [15, 'terminated'],
]);

/** What the system calls the failures of a start. */
const failureWords: Readonly<Record<string, string>> = {
  E2BIG: 'argument list too long',
  EACCES: 'permission denied',
  EINVAL: 'invalid argument',
  EISDIR: 'is a directory',
  ELOOP: 'too many levels of symbolic links',
  ENAMETOOLONG: 'file name too long',
  ENOENT: 'no such file or directory',
  ENOEXEC: 'exec format error',
  ENOTDIR: 'not a directory',
  EPERM: 'operation not permitted',
  ETXTBSY: 'text file busy',
};

export function processState({ code, signal, coreDumped }: Exited): string {
  if (signal === null) return code === 0 ? 'ok' : `exit status ${code}`;
  return `signal: ${wordsOf(signal)}${coreDumped ? ' (core dumped)' : ''}`;
}

/** Of a command that did not start. */
export function startFailure(program: string, code: string): string {
  return `fork/exec ${program}: ${failureText(code)}`;
}

export function directoryFailure(dir: string, code: string): string {
  return `chdir ${dir}: ${failureText(code)}`;
}

function failureText(code: string): string {
  return failureWords[code] ?? code;
}

function wordsOf(signal: string): string {
  const number = constants.signals[signal as NodeJS.Signals] ?? Number(signal.replace('SIG', ''));
  return signalWords.get(number) ?? `signal ${number}`;
}
