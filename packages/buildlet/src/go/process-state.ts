/** The trailer `Process-State`: how a command ended, in the words of Go's `os.ProcessState`. @see buildlet.md 1.10 */
import { constants } from 'node:os';

export type ProcessEnd =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'signalled'; readonly signal: string }
  | { readonly kind: 'not-started'; readonly reason: string };

const signalTexts: Readonly<Record<string, string>> = {
  hangup: 'SIGHUP',
  interrupt: 'SIGINT',
  quit: 'SIGQUIT',
  'illegal instruction': 'SIGILL',
  'trace/breakpoint trap': 'SIGTRAP',
  aborted: 'SIGABRT',
  'bus error': 'SIGBUS',
  'floating point exception': 'SIGFPE',
  killed: 'SIGKILL',
  'user defined signal 1': 'SIGUSR1',
  'segmentation fault': 'SIGSEGV',
  'user defined signal 2': 'SIGUSR2',
  'broken pipe': 'SIGPIPE',
  'alarm clock': 'SIGALRM',
  terminated: 'SIGTERM',
};

/** Whatever is neither an exit nor a signal tells why the command could not be started. */
export function parseProcessState(text: string): ProcessEnd {
  if (text === 'ok') return { kind: 'exited', code: 0 };
  const state = text.replace(/ \(core dumped\)$/, '');
  const [, code] = /^exit status (-?\d{1,10}|0x[0-9a-f]{1,8})$/.exec(state) ?? [];
  if (code !== undefined) return { kind: 'exited', code: Number(code) };
  const [, signal] = /^signal: (.+)$/.exec(state) ?? [];
  return signal === undefined ? { kind: 'not-started', reason: text } : { kind: 'signalled', signal: signalName(signal) };
}

function signalName(text: string): string {
  const known = Object.hasOwn(signalTexts, text) ? signalTexts[text] : undefined;
  const number = Number(/^signal (\d{1,3})$/.exec(text)?.[1]);
  const named = Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
  return known ?? named ?? text;
}
