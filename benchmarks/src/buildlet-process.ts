/** A buildlet as a process of its own on a free port of loopback: ours as machines run it, one bundled file, and Go's. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createDistribution } from '@croft-apps/coordinator/distribution';
import { SECOND } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { freePort } from '@croft/runtime/testing';
import { answers } from './reverse-coordinator.ts';
import type { Bench } from './row.ts';

export interface BuildletProcess extends AsyncDisposable {
  readonly maker: 'ours' | 'Go’s';
  readonly port: number;
  readonly pid: number;
  readonly workDir: string;
}

const startMs = 30 * SECOND;
const pollMs = 50;

export async function startOurBuildlet(bench: Bench): Promise<BuildletProcess> {
  const { program } = await createDistribution(join(bench.dir, 'programs'))();
  return start('ours', [process.execPath, program, '-insecure-listen'], bench);
}

/** @param program Go's buildlet: `-halt=false`, or it would switch this machine off */
export async function startGoBuildlet(program: string, bench: Bench): Promise<BuildletProcess> {
  return start('Go’s', [program, '-halt=false'], bench);
}

async function start(maker: BuildletProcess['maker'], argv: readonly [string, ...string[]], bench: Bench): Promise<BuildletProcess> {
  const { dir, clock, signal } = bench;
  const workDir = join(dir, `${maker === 'ours' ? 'ours' : 'go'}-work`);
  await mkdir(workDir, { mode: 0o700 });
  const port = await freePort();
  const [program, ...args] = argv;
  const env = { PATH: process.env['PATH'] ?? '', HOME: dir, AWS_EC2_METADATA_DISABLED: 'true' };
  const child = spawn(program, [...args, '-workdir', workDir, '-listen', `127.0.0.1:${port}`], { stdio: 'ignore', env });
  const ended = once(child, 'exit');
  const end = async (): Promise<void> => {
    child.kill('SIGTERM');
    const killed = clock.sleep(5 * SECOND).then(() => child.kill('SIGKILL'));
    await Promise.race([ended, killed]);
  };
  const deadline = clock.deadline(startMs);
  for (;;) {
    if (await answers(port)) break;
    if (deadline.aborted || child.exitCode !== null) {
      await end();
      throw new CroftError('unavailable', `${maker} buildlet did not start`);
    }
    await clock.sleep(pollMs, { signal });
  }
  return { maker, port, pid: child.pid ?? 0, workDir, [Symbol.asyncDispose]: end };
}
