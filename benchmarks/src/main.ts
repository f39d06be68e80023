/**
 * `npm run bench [-- [--profile] NAME …]`: measures, prints a table and keeps the raw samples in `results/`. The exit code says
 * whether everything could be measured, never how fast it was.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { systemClock } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import { runMain, type Main } from '@croft/runtime/run-main';
import { createResults, type Results } from './results.ts';
import type { Row } from './row.ts';
import { borrow } from './rows/borrow.ts';
import { config } from './rows/config.ts';
import { durability } from './rows/durability.ts';
import { echo, shells } from './rows/echo.ts';
import { exec } from './rows/exec.ts';
import { hook } from './rows/hook.ts';
import { legacyJson } from './rows/legacy-json.ts';
import { idleLines } from './rows/lines.ts';
import { memory } from './rows/memory.ts';
import { output } from './rows/output.ts';
import { keys } from './rows/keys.ts';
import { poll } from './rows/poll.ts';
import { ssh } from './rows/ssh.ts';
import { proxy } from './rows/proxy.ts';
import { push } from './rows/push.ts';
import { revdial } from './rows/revdial.ts';
import { start } from './rows/start.ts';
import { tar } from './rows/tar.ts';
import { throughput } from './rows/throughput.ts';
import { verdict } from './rows/verdict.ts';
import { table } from './table.ts';

const rows: readonly Row[] = [
  verdict,
  throughput,
  durability,
  output,
  memory,
  start,
  legacyJson,
  config,
  hook,
  poll,
  keys,
  exec,
  tar,
  idleLines,
  revdial,
  ssh,
  echo,
  shells,
  borrow,
  proxy,
  push,
];
/** Where farms keep their data, not on a memory disk that `/tmp` may be. */
const placeDir = fileURLToPath(new URL('../../.croft/', import.meta.url));
const resultsDir = fileURLToPath(new URL('../results', import.meta.url));
const clock = systemClock;

await runMain(async (): Promise<Main> => {
  const { values, positionals } = parseArgs({ options: { profile: { type: 'boolean' } }, allowPositionals: true });
  const chosen = choose(positionals);
  const ending = new AbortController();
  const results = await createResults(resultsDir, clock);
  process.stdout.write(`${results.facts}\n`);
  const finished = runRows(chosen, { results, signal: ending.signal, profileDir: values.profile ? results.profileDir : undefined });
  return {
    finished,
    async [Symbol.asyncDispose]() {
      ending.abort(new CroftError('stopped', 'the benchmarks were stopped'));
      await finished.catch(() => undefined); // told by whoever awaited it first
    },
  };
});

/** @throws CroftError `invalid` for a name that no row has */
function choose(names: readonly string[]): readonly Row[] {
  const unknown = names.filter((name) => !rows.some((row) => row.name === name));
  if (unknown.length > 0) {
    throw new CroftError('invalid', `no row is called ${unknown.join(', ')}`, {
      hint: `There are: ${rows.map((row) => row.name).join(', ')}.`,
    });
  }
  return names.length === 0 ? rows : rows.filter((row) => names.includes(row.name));
}

interface Run {
  readonly results: Results;
  readonly signal: AbortSignal;
  readonly profileDir: string | undefined;
}

async function runRows(chosen: readonly Row[], run: Run): Promise<void> {
  const failed: string[] = [];
  for (const row of chosen) {
    try {
      await runRow(row, run);
    } catch (error) {
      run.signal.throwIfAborted();
      tellProgress('');
      process.stderr.write(`${row.name} could not be measured: ${errorText(error)}\n`);
      failed.push(row.name);
    }
  }
  process.stdout.write(`raw samples: ${run.results.file}\n`);
  if (failed.length > 0) throw new CroftError('unavailable', `not measured: ${failed.join(', ')}`, { hint: 'See above why.' });
}

async function runRow(row: Row, { results, signal, profileDir }: Run): Promise<void> {
  process.stdout.write(`\n${row.name}: ${row.about}\n`);
  await mkdir(placeDir, { recursive: true });
  const dir = await mkdtemp(join(placeDir, `bench-${row.name}-`));
  try {
    const progress = (text: string): void => tellProgress(`${row.name}: ${text}`);
    const measurements = await row.run({ dir, signal, clock, profileDir, progress });
    tellProgress('');
    process.stdout.write(table(measurements));
    await results.keep(row.name, measurements);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** One line that replaces itself; nothing where nobody looks. */
function tellProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
