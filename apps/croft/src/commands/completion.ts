/** `croft completion`: the shell's part of completion; and `croft complete`, which that part asks at each Tab. */
import { Argument, type Command } from 'commander';
import type { Cli, Run } from '../cli.ts';
import { complete, type Candidate } from '../completion/complete.ts';
import { farmNames } from '../completion/farm-names.ts';
import { scripts, shells, type Shell } from '../completion/scripts.ts';
import { printable } from '../terminal.ts';

export function addCompletion(program: Command, cli: Cli, run: Run): void {
  program
    .command('completion')
    .description('print what makes a shell complete croft’s commands')
    .addArgument(new Argument('<shell>', 'which one').choices(shells))
    .addHelpText('after', help)
    .action((shell: Shell) => run(() => cli.stdout.write(scripts[shell])));
  program
    .command('complete', { hidden: true })
    .description('print what may stand at the end of a command line, one a line')
    .argument('[words...]', 'the line without "croft"; the last word is completed')
    .action((words: string[]) => run(() => printCandidates(program, words, cli)));
}

const help = `
  eval "$(croft completion bash)"        # in ~/.bashrc
  eval "$(croft completion zsh)"         # in ~/.zshrc, after compinit
  croft completion fish | source         # in ~/.config/fish/config.fish

Commands and options come from the program itself. Names of builds, builders and repositories come from the farm, where one answers
within 300 ms.`;

async function printCandidates(program: Command, words: readonly string[], cli: Cli): Promise<void> {
  const found = complete(program, words);
  const { ask, candidates } = found;
  if (ask?.kind === 'file') return cli.stdout.write(':files\n');
  const named = ask ? await farmNames(ask.kind, found, cli) : [];
  const fitting = named.filter(({ value }) => value.startsWith(ask?.current ?? ''));
  const all = [...candidates, ...fitting.map(({ value, about }) => ({ value: `${ask?.prefix ?? ''}${value}`, about }))];
  await cli.stdout.write(all.map((candidate) => lineOf(candidate, words)).join(''));
}

/** Bash takes what stands after `=` for a word of its own. */
function lineOf({ value, about }: Candidate, words: readonly string[]): string {
  const isSplit = words.at(-2) === '=' || words.at(-1) === '=';
  const shown = isSplit ? value.replace(/^--[^=]+=/, '') : value;
  return `${printable(shown)}\t${printable(about)}\n`;
}
