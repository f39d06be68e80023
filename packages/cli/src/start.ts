/** Runs a command line in this process. */
import process from 'node:process';
import { isatty } from 'node:tty';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { interruption } from './interruption.ts';
import type { RunCli } from './program.ts';
import { secretLine } from './secret-line.ts';
import { outputTo } from './terminal.ts';

export async function startCli(run: RunCli): Promise<void> {
  process.exitCode = await run(process.argv.slice(2), {
    // Only asked for when it is wanted: whoever looks at it keeps the process alive.
    stdin: {
      isTerminal: isatty(0),
      secret: () => secretLine(process.stdin),
      [Symbol.asyncIterator]: () => process.stdin[Symbol.asyncIterator](),
    },
    stdout: outputTo(process.stdout, process.env),
    stderr: outputTo(process.stderr, process.env),
    env: process.env,
    cwd: process.cwd(),
    clock: systemClock,
    random: systemRandom,
    interruption: () => interruption(process),
  });
}
