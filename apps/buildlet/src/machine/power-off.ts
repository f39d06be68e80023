/** Switches the machine off or starts it anew, only where the buildlet was started with `-halt` or `-reboot`. buildlet.md 1.11. */
import { spawn } from 'node:child_process';
import type { Log } from '@croft/runtime/log';
import { messages } from '../events.ts';

export interface Power {
  readonly halt: boolean;
  readonly reboot: boolean;
  /** `GO_BUILDER_ENV`: of all Macs only virtual ones that are made anew may be switched off. */
  readonly builderEnv?: string | undefined;
}

export interface System {
  readonly platform: string;
  readonly arch: string;
}

/** What is to be run: undefined when nothing was asked for, `unknown` when this system has no command for it. */
export function powerCommand({ halt, reboot, builderEnv }: Power, { platform, arch }: System): readonly string[] | 'unknown' | undefined {
  if (reboot) return platform === 'win32' ? ['shutdown', '/r'] : ['reboot'];
  if (!halt) return undefined;
  switch (platform) {
    case 'linux':
      return ['/bin/halt', '-n', '-f', '-p'];
    case 'freebsd':
      return ['shutdown', '-p', '-o', 'now'];
    case 'openbsd':
      return ['halt', '-q', '-n', '-p'];
    case 'darwin':
      return ['macstadium_vm', 'qemu_vm'].includes(builderEnv ?? '') ? ['sudo', '/sbin/halt', '-n', '-q', '-l'] : 'unknown';
    case 'win32':
      return arch === 'arm64' ? ['shutdown', '/s'] : 'unknown';
    default:
      return 'unknown';
  }
}

export function powerOff(power: Power, log: Log): void {
  const command = powerCommand(power, process);
  if (command === undefined) return;
  if (command === 'unknown') return log.warn(messages.cannotPowerOff, { platform: process.platform });
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: 'ignore', detached: true });
  child.on('error', (error) => log.error(messages.powerOffFailed, { error: String(error) }));
  child.unref();
}
