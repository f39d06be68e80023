/** The command line from arguments to exit status. Commands get all they touch as one argument, so that tests can hold it. */
import { Command, CommanderError } from 'commander';
import type { Clock } from '@croft/runtime/clock';
import { type CroftError, asCroftError, errorText } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import { addArtifacts } from './commands/artifacts.ts';
import { addAudit } from './commands/audit.ts';
import { addBuilds } from './commands/builds.ts';
import { addCancel } from './commands/cancel.ts';
import { addCompletion } from './commands/completion.ts';
import { addConfig } from './commands/config.ts';
import { addFarm } from './commands/farm.ts';
import { addGrid } from './commands/grid.ts';
import { addInit } from './commands/init.ts';
import { addLog } from './commands/log.ts';
import { addNotify } from './commands/notify.ts';
import { addRecords } from './commands/records.ts';
import { addRetry } from './commands/retry.ts';
import { addRetrybuilds } from './commands/retrybuilds.ts';
import { addRun } from './commands/run.ts';
import { addShow } from './commands/show.ts';
import { addKey } from './commands/key.ts';
import { addMachines } from './commands/machines.ts';
import { addToken } from './commands/token.ts';
import { exitCodeOf, exitCodes } from './exit-codes.ts';
import { PipeClosed, type Output } from './terminal.ts';

export interface Cli {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly clock: Clock;
  readonly random: Random;
  /** From now on until it is disposed, Ctrl-C and the terminal's end abort its signal instead of ending the program. */
  interruption(): Interruption;
}

export interface Interruption extends Disposable {
  readonly signal: AbortSignal;
}

/** What every command takes. */
export interface GlobalOptions {
  readonly server?: string;
  readonly token?: string;
  readonly json?: boolean;
}

/** A command's work; its result is the exit status, `ok` when it has none. */
export type Action = () => Promise<number | void>;

/** @returns the exit status; never throws */
export async function runCli(args: readonly string[], cli: Cli): Promise<number> {
  let status: number = exitCodes.ok;
  const program = createProgram(cli, async (action) => {
    status = (await action()) ?? exitCodes.ok;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof PipeClosed) return exitCodes.ok;
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    const failure = asCroftError(error, 'internal', 'croft');
    await tell(cli.stderr, failure).catch(() => {});
    return exitCodeOf(failure);
  }
}

const statusHelp = `
Exit status: 0 done, 1 the build failed or it could not be done, 2 wrong use, 3 the farm cannot be reached, 4 not allowed,
130 interrupted.
Environment: CROFT_SERVER and CROFT_TOKEN stand for --server and --token; NO_COLOR turns colours off.`;

export type Run = (action: Action) => Promise<void>;

function createProgram(cli: Cli, run: Run): Command {
  const program = new Command('croft')
    .description('Talk to a Croft build farm.')
    .option('--server <url>', 'the farm; the one running in a directory above by default')
    .option('--token <token>', 'who you are; CROFT_TOKEN or ~/.config/croft/token keep it off the process list')
    .option('--json', 'one JSON value on stdout instead of text')
    .addHelpText('after', statusHelp)
    .showHelpAfterError('(croft --help lists what there is)')
    .exitOverride()
    .configureOutput({ writeOut: (text) => print(cli.stdout, text), writeErr: (text) => print(cli.stderr, text) });
  for (const add of [
    addBuilds,
    addShow,
    addLog,
    addArtifacts,
    addRetry,
    addRetrybuilds,
    addCancel,
    addNotify,
    addGrid,
    addFarm,
    addRecords,
    addAudit,
    addToken,
    addKey,
    addMachines,
    addConfig,
    addInit,
    addRun,
    addCompletion,
  ])
    add(program, cli, run);
  return program;
}

/** Help and usage errors come synchronously, before a command runs. */
function print(output: Output, text: string): void {
  output.write(text).catch(() => {});
}

async function tell(stderr: Output, failure: CroftError): Promise<void> {
  await stderr.write(`${stderr.paint('red', 'croft:')} ${errorText(failure)}\n`);
  if (failure.hint) await stderr.write(`${failure.hint}\n`);
}
