/** A command line from arguments to exit status. Commands get all they touch as one argument, so that tests can hold it. */
import { Command, CommanderError, Help, type Option } from 'commander';
import type { Clock } from '@croft/runtime/clock';
import { asCroftError, CroftError, errorText } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import { exitCodeOf, exitCodes } from './exit-codes.ts';
import { fitted, PipeClosed, type Output } from './terminal.ts';

/** Standard input. */
export interface Input extends AsyncIterable<Uint8Array> {
  /** Somebody sits there, and may not know that a command waits for them. */
  readonly isTerminal: boolean;
  /** One line of the terminal, which does not show it. @see secretLine */
  secret(): Promise<string>;
}

export interface Cli {
  readonly stdin: Input;
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
/** @param failed the exit status when it fails here, of a command whose own is somebody else's */
export type Run = (action: Action, failed?: number) => Promise<void>;
export type AddCommand = (program: Command, cli: Cli, run: Run) => void;

/** Commands whose code is loaded when one of them is called: most of a program's start would be code that it does not run. */
export interface Family {
  /** Each with what lists say of it. */
  readonly commands: Readonly<Record<string, string>>;
  /** Names that no list shows: aliases, and commands that only programs call. */
  readonly hidden?: readonly string[];
  readonly load: () => Promise<AddCommand>;
}

export interface Program {
  readonly name: string;
  readonly about: string;
  /** What `--version` tells. */
  readonly version: () => Promise<string>;
  /** Below the list of commands. */
  readonly help: string;
  readonly commands: readonly Family[];
  /** What else comes before a command. */
  readonly options?: (program: Command) => void;
  /** Makes the words that were typed those that are read. */
  readonly read?: (program: Command, args: readonly string[]) => string[];
}

/** A program's command line, with the arguments still to be given. */
export type RunCli = (args: readonly string[], cli: Cli) => Promise<number>;

const versionAsked = 'commander.version';

/** @returns what gives the exit status of a command line, and never throws */
export function createCli(described: Program): RunCli {
  return async (args, given) => {
    let status: number = exitCodes.ok;
    let statusOfFailure: number | undefined;
    const run: Run = async (action, failed) => {
      statusOfFailure = failed;
      status = (await action()) ?? exitCodes.ok;
    };
    const stdout = watched(given.stdout);
    const cli: Cli = { ...given, stdout };
    const program = createProgram(described, cli);
    const tell = async (failure: CroftError): Promise<void> => {
      if (program.opts<GlobalOptions>().json && !stdout.wasUsed) await stdout.write(`${JSON.stringify(errorValue(failure))}\n`);
    };
    try {
      for (const family of described.commands) await addFamily(program, family, { args, cli, run });
      addHelp(program);
      leadToHelp(program);
      await program.parseAsync(described.read?.(program, args) ?? args, { from: 'user' });
      return status;
    } catch (error) {
      if (error instanceof PipeClosed) return exitCodes.ok;
      if (error instanceof CommanderError) {
        if (error.code === versionAsked) await stdout.write(`${described.name} ${await described.version()}\n`);
        if (error.exitCode === 0) return exitCodes.ok;
        await tell(misuse(error)).catch(() => {});
        return exitCodes.usage;
      }
      const failure = asCroftError(error, 'internal', described.name);
      await tellFailure(cli.stderr, described.name, failure).catch(() => {});
      await tell(failure).catch(() => {});
      return failure.code === 'cancelled' ? exitCodes.interrupted : (statusOfFailure ?? exitCodeOf(failure));
    }
  };
}

/** Commander puts what was probably meant on a line of its own. */
function misuse({ code, message }: CommanderError): CroftError {
  if (code === 'commander.help') return new CroftError('invalid', 'no command is named');
  const [, wrong = message, meant] = /^(?:error: )?([^\n]*)(?:\n\((.*)\))?/.exec(message) ?? [];
  return new CroftError('invalid', wrong, { hint: meant });
}

/** Says whether something was written to it: with `--json` there is one value, of the command or of its failure. */
function watched(output: Output): Output & { readonly wasUsed: boolean } {
  let wasUsed = false;
  return {
    ...output,
    get wasUsed() {
      return wasUsed;
    },
    write(data) {
      wasUsed = true;
      return output.write(data);
    },
  };
}

function errorValue(failure: CroftError): { readonly error: { code: string; message: string; hint?: string } } {
  const { code, hint } = failure;
  return { error: { code, message: errorText(failure), ...(hint === undefined ? {} : { hint }) } };
}

function createProgram({ name, about, help, options }: Program, cli: Cli): Command {
  const program = new Command(name)
    .description(about)
    .option('--server <url>', 'the farm; the one running in a directory above by default')
    .option('--token <token>', 'who you are; CROFT_TOKEN or a file keep it off the process list')
    .option('--json', 'one JSON value on stdout instead of text, also of what fails')
    .option('--version', 'print the version and end')
    .on('option:version', () => {
      throw new CommanderError(exitCodes.ok, versionAsked, 'the version is asked for');
    })
    .addHelpText('after', help)
    .showHelpAfterError(`(${name} --help lists what there is)`)
    .configureHelp({ optionDescription: (option) => plainHelp.optionDescription(withoutEmpty(option)) })
    .exitOverride()
    .configureOutput({ writeOut: (text) => print(cli.stdout, text), writeErr: (text) => print(cli.stderr, text) });
  options?.(program);
  return program;
}

const plainHelp = new Help();

/** A default that is nothing is none to read about. */
function withoutEmpty(option: Option): Option {
  const { defaultValue } = option as { defaultValue: unknown };
  const isEmpty = defaultValue === '' || (Array.isArray(defaultValue) && defaultValue.length === 0);
  return isEmpty ? (Object.create(option, { defaultValue: { value: undefined } }) as Option) : option;
}

/** A family is called when one of its names stands among the words, wherever: loading one too many costs time only. */
async function addFamily(program: Command, { commands, hidden = [], load }: Family, { args, cli, run }: Called): Promise<void> {
  const names = Object.keys(commands);
  if ([...names, ...hidden].some((name) => args.includes(name))) (await load())(program, cli, run);
  for (const [name, about] of Object.entries(commands)) {
    const command = program.commands.find((one) => one.name() === name) ?? program.command(name);
    command.description(about);
  }
}

/** As `--help` of the command, wherever options stand; commander's own takes an option for the name of a command. */
function addHelp(program: Command): void {
  program
    .helpCommand(false)
    .command('help [command...]')
    .description('display help for command')
    .allowUnknownOption()
    .action((words: readonly string[]) => {
      let command = program;
      for (const word of words.filter((one) => !one.startsWith('-'))) {
        const inner = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
        if (!inner) return command.error(`error: unknown command '${word}'`, { code: 'commander.unknownCommand' });
        command = inner;
      }
      command.outputHelp();
    });
}

/** Wrong use of a command leads to its own help. */
function leadToHelp(program: Command, ...above: readonly string[]): void {
  for (const command of program.commands) {
    const path = [...above, program.name()];
    command.showHelpAfterError(`(${[...path, command.name()].join(' ')} --help tells what it takes)`);
    leadToHelp(command, ...path);
  }
}

interface Called {
  readonly args: readonly string[];
  readonly cli: Cli;
  readonly run: Run;
}

/** Help and usage errors come synchronously, before a command runs. */
function print(output: Output, text: string): void {
  output.write(fitted(text, output.columns)).catch(() => {});
}

/** What failed, why, and what to try. */
async function tellFailure(stderr: Output, name: string, failure: CroftError): Promise<void> {
  await stderr.write(`${stderr.paint('red', `${name}:`)} ${errorText(failure)}\n`);
  if (failure.hint) await stderr.write(`${failure.hint}\n`);
}
