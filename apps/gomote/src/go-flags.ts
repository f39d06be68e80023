/**
 * Options as Go's tools write them: `-count 3`, `-count=3`, `-status=false`. They become what commander reads, up to where the words of
 * somebody else's command begin; those of the program come first, wherever they were written. Go's `v2` in front of a command says nothing here.
 */
import type { Command, Option } from 'commander';

/** Commands whose words behind their first one are not ours. */
const passing = new Set(['run', 'ssh']);

export function withGoFlags(program: Command, args: readonly string[]): string[] {
  const first: string[] = [];
  const result: string[] = [];
  let command = program;
  let positions = 0;
  for (let at = 0; at < args.length; at += 1) {
    const word = args[at] ?? '';
    if (word === '--' || (positions > 0 && passing.has(command.name()))) return [...first, ...result, ...args.slice(at)];
    if (word.startsWith('-') && word !== '-') {
      const { words, takesNext, ofProgram } = asOption(command, word);
      const place = ofProgram ? first : result;
      place.push(...words);
      if (takesNext && at + 1 < args.length) place.push(args[(at += 1)] ?? '');
      continue;
    }
    if (word === 'v2' && command === program && positions === 0) continue;
    const inner = positions === 0 ? command.commands.find((one) => one.name() === word) : undefined;
    if (inner) command = inner;
    else positions += 1;
    result.push(word);
  }
  return [...first, ...result];
}

interface Read {
  readonly words: readonly string[];
  readonly takesNext: boolean;
  readonly ofProgram: boolean;
}

function asOption(command: Command, word: string): Read {
  const [, name = '', value] = /^--?([^=]+)(?:=([^]*))?$/.exec(word) ?? [];
  const option = optionsOf(command).find(({ long, short }) => long === `--${name}` || (short === `-${name}` && value === undefined));
  if (!option) return { words: [word], takesNext: false, ofProgram: false };
  const ofProgram = !command.options.includes(option);
  const shown = option.short === `-${name}` ? `-${name}` : `--${name}`;
  if (!option.required) return { words: asSwitch(command, shown, value), takesNext: false, ofProgram };
  return { words: value === undefined ? [shown] : [`${shown}=${value}`], takesNext: value === undefined, ofProgram };
}

/** `-x=false` is the same as leaving it out, or its opposite where there is one. */
function asSwitch(command: Command, shown: string, value: string | undefined): string[] {
  if (value === undefined || isTrue(value)) return [shown];
  const opposite = `--no-${shown.replace(/^--/, '')}`;
  return optionsOf(command).some(({ long }) => long === opposite) ? [opposite] : [];
}

function isTrue(value: string): boolean {
  return /^(1|t|true)$/i.test(value);
}

function optionsOf(command: Command): Option[] {
  const chain: Option[] = [];
  for (let at: Command | null = command; at; at = at.parent) chain.push(...at.options);
  return chain;
}
