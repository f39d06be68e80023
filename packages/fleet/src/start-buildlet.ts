/** Starts a buildlet as a process that outlives this one, and leaves in the machine's directory how to find it again. */
import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { MachineId } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import { passwordFile, writeMark } from './machine-files.ts';
import type { LocalPoolOptions } from './local-pool.ts';
import { markProcess } from './processes.ts';

interface Place {
  readonly id: MachineId;
  /** The machine's. */
  readonly dir: string;
  readonly socket: string;
}

type Options = Pick<LocalPoolOptions, 'command' | 'env' | 'orphanedMs'>;

/** @returns its process id */
export async function startBuildlet({ command, env, orphanedMs }: Options, { id, dir, socket }: Place): Promise<number> {
  const output = await open(join(dir, 'buildlet.log'), 'a', 0o600);
  try {
    const [program, ...first] = await command();
    const flags = ['-workdir', join(dir, 'work'), '-listen', `unix:${socket}`, '--state-dir', join(dir, 'state')];
    const child = spawn(program, [...first, ...flags, '--orphaned-after', String(orphanedMs)], {
      cwd: dir,
      detached: true,
      stdio: ['ignore', output.fd, output.fd],
      env: { ...passedOn(env), META_password: `@${passwordFile(dir)}` },
    });
    const spawned = Promise.withResolvers<void>();
    child.once('spawn', () => spawned.resolve());
    child.once('error', (error) => spawned.reject(new CroftError('internal', `starting the buildlet of ${id}`, { cause: error })));
    child.unref();
    await spawned.promise;
    const pid = child.pid ?? 0;
    try {
      await writeMark(dir, await markProcess(pid));
    } catch (error) {
      child.kill('SIGKILL'); // nobody could find it again
      throw error;
    }
    return pid;
  } finally {
    await output.close();
  }
}

const passed =
  /^(?:PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_[A-Z]+|TZ|TERM|TMPDIR|SSL_CERT_(?:FILE|DIR)|(?:https?|no)_proxy|(?:HTTPS?|NO)_PROXY)$/;

function passedOn(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const entries = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined && passed.test(entry[0]));
  return Object.fromEntries(entries);
}
