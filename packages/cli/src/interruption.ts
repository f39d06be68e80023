/** Ctrl-C and its like as a signal, for a command that must end what it started. A second one changes nothing: the end is under way. */
import { CroftError } from '@croft/runtime/errors';
import type { Interruption } from './program.ts';

const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export function interruption(process: Pick<NodeJS.Process, 'on' | 'off'>): Interruption {
  const controller = new AbortController();
  const onSignal = (): void => controller.abort(new CroftError('cancelled', 'interrupted'));
  for (const name of names) process.on(name, onSignal);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const name of names) process.off(name, onSignal);
    },
  };
}
