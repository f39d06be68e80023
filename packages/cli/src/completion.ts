/** `completion`: the shell's part of completion; and `complete`, which that part asks at each Tab. */
import { Argument, type Command } from 'commander';
import { complete, type Candidate, type Completion, type Kinds } from './complete.ts';
import { completionScript, shells, type Shell } from './completion-scripts.ts';
import { connect } from './connect.ts';
import type { Client } from '@croft/web/client';
import type { AddCommand, Cli } from './program.ts';
import { printable } from './terminal.ts';

export type { Candidate, Completion } from './complete.ts';
export { shells } from './completion-scripts.ts';

export interface Names {
  readonly kinds: Kinds;
  /** Those of a kind, from the farm or from the disk of the person; what it throws means none. */
  names(
    kind: string,
    asked: Completion,
    world: { readonly client: Client; readonly signal: AbortSignal; readonly cli: Cli },
  ): Promise<readonly Candidate[]>;
}

/** Names that only a farm knows are completed where one is reachable at once: whoever presses Tab does not wait, and hears of no failure. */
const patienceMs = 300;

export function completion(names: Names): AddCommand {
  return (program, cli, run) => {
    const name = program.name();
    program
      .command('completion')
      .addArgument(new Argument('<shell>', 'which one').choices(shells))
      .addHelpText('after', helpOf(name))
      .action((shell: Shell) => run(() => cli.stdout.write(completionScript(shell, name))));
    program
      .command('complete', { hidden: true })
      .description('print what may stand at the end of a command line, one a line')
      .argument('[words...]', `the line without "${name}"; the last word is completed`)
      .action((words: string[]) => run(() => printCandidates(program, { words, names }, cli)));
  };
}

function helpOf(name: string): string {
  return `
  eval "$(${name} completion bash)"        # in ~/.bashrc
  eval "$(${name} completion zsh)"         # in ~/.zshrc, after compinit
  ${name} completion fish | source         # in ~/.config/fish/config.fish

Commands and options come from the program itself. Names that the farm knows come from there, where one answers within 300 ms.`;
}

interface Line {
  readonly words: readonly string[];
  readonly names: Names;
}

async function printCandidates(program: Command, { words, names }: Line, cli: Cli): Promise<void> {
  const found = complete(program, words, names.kinds);
  const { ask, candidates } = found;
  if (ask?.kind === 'file') return cli.stdout.write(':files\n');
  const named = ask ? await namesOf(ask.kind, { found, names }, cli) : [];
  const fitting = named.filter(({ value }) => value.startsWith(ask?.current ?? ''));
  const all = [...candidates, ...fitting.map(({ value, about }) => ({ value: `${ask?.prefix ?? ''}${value}`, about }))];
  await cli.stdout.write(all.map((candidate) => lineOf(candidate, words)).join(''));
}

async function namesOf(kind: string, { found, names }: { found: Completion; names: Names }, cli: Cli): Promise<readonly Candidate[]> {
  const signal = cli.clock.deadline(patienceMs);
  try {
    const client = await connect({ server: found.options['server'], token: found.options['token'] }, cli);
    return await names.names(kind, found, { client, signal, cli });
  } catch {
    return [];
  }
}

/** Bash takes what stands after `=` for a word of its own. */
function lineOf({ value, about }: Candidate, words: readonly string[]): string {
  const isSplit = words.at(-2) === '=' || words.at(-1) === '=';
  const shown = isSplit ? value.replace(/^--[^=]+=/, '') : value;
  return `${printable(shown)}\t${printable(about)}\n`;
}
