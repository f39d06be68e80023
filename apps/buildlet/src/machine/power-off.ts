/** Switches the machine off, only where the buildlet was started with `-halt`. buildlet.md 1.11. */
import { spawn } from 'node:child_process';
import type { Log } from '@croft/runtime/log';
import { messages } from '../events.ts';

const commands: Readonly<Record<string, readonly string[]>> = {
  linux: ['/bin/halt', '-n', '-f', '-p'],
  freebsd: ['shutdown', '-p', '-o', 'now'],
  openbsd: ['halt', '-q', '-n', '-p'],
};

export function powerOff(log: Log): void {
  const [program, ...args] = commands[process.platform] ?? [];
  if (program === undefined) return log.warn(messages.cannotPowerOff, { platform: process.platform });
  const child = spawn(program, args, { stdio: 'ignore', detached: true });
  child.on('error', (error) => log.error(messages.powerOffFailed, { error: String(error) }));
  child.unref();
}
