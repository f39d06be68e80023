/** Keeps raw samples as JSON with date, machine and commit, after every row, so that a run that is broken off keeps what it has. */
import { readFile, mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '@croft/runtime/clock';
import { runProgram } from './programs.ts';
import type { Measurement } from './row.ts';

export interface Results {
  readonly file: string;
  /** For CPU profiles of this run. */
  readonly profileDir: string;
  /** Commit and machine, one line. */
  readonly facts: string;
  keep(row: string, measurements: readonly Measurement[]): Promise<void>;
}

export async function createResults(dir: string, clock: Clock): Promise<Results> {
  await mkdir(dir, { recursive: true });
  const date = new Date(clock.now()).toISOString();
  const commit = await describeCommit();
  const name = `${date.replaceAll(/[:.]/g, '-')}-${commit}`;
  const file = join(dir, `${name}.json`);
  const machine = await describeMachine();
  const rows: Record<
    string,
    { readonly endedAt: string; readonly load: readonly number[]; readonly measurements: readonly Measurement[] }
  > = {};
  return {
    file,
    profileDir: join(dir, `${name}-profiles`),
    facts: `commit ${commit}, ${machine.cpu}, ${machine.cores} cores, ${Math.round(machine.memoryMB / 1000)} GB, Node ${machine.node}, load ${loadavg()[0]?.toFixed(1)}`,
    async keep(row, measurements) {
      rows[row] = { endedAt: new Date(clock.now()).toISOString(), load: loadavg(), measurements };
      await writeFile(file, `${JSON.stringify({ date, commit, machine, rows }, null, 1)}\n`);
    },
  };
}

async function describeMachine() {
  const { platform, arch, versions } = process;
  const [cpu] = cpus();
  const distribution = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return {
    cpu: cpu?.model ?? arch,
    cores: availableParallelism(),
    memoryMB: Math.round(totalmem() / 1e6),
    system: `${/^PRETTY_NAME="(.*)"$/m.exec(distribution)?.[1] ?? platform}, kernel ${release()}, ${arch}`,
    node: versions.node,
  };
}

/** The short id, with `+` when files differ from it; `unknown` outside of a clone. */
async function describeCommit(): Promise<string> {
  const git = (...args: string[]): Promise<string> =>
    runProgram(['git', '-C', import.meta.dirname, ...args], { signal: AbortSignal.timeout(10_000) });
  try {
    const id = (await git('rev-parse', '--short', 'HEAD')).trim();
    return (await git('status', '--porcelain')).trim() === '' ? id : `${id}+`;
  } catch {
    return 'unknown';
  }
}
