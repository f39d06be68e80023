/** What may stand at the end of a command line: read from the table of commands itself, so it is never older than the program. Pure. */
import type { Argument, Command, Option } from 'commander';

/** What a place takes whose values only a farm, or the disk (`file`), knows, by what it is called. */
export type Kinds = Readonly<Record<string, string>>;

export interface Candidate {
  readonly value: string;
  readonly about: string;
}

export interface Completion {
  /** Those that begin like the last word. */
  readonly candidates: readonly Candidate[];
  /** More come from there: those that begin with `current`, with `prefix` before each in the same word, as in `--repo=`. */
  readonly ask: { readonly kind: string; readonly prefix: string; readonly current: string } | undefined;
  /** The command that it is about, as in `token list`. */
  readonly command: string;
  /** Of the options before it, by their attribute names. */
  readonly options: Readonly<Record<string, string>>;
}

/** @param words without the program's name; the last one is the one to be completed, perhaps empty */
export function complete(program: Command, words: readonly string[], kinds: Kinds): Completion {
  const place = placeOf(program, joined(words).slice(0, -1));
  const { command, pending, positions, onlyArguments, options } = place;
  const current = joined(words).at(-1) ?? '';
  const about = { command: pathOf(command), options };
  const [, named, value] = /^(--[^=]+)=(.*)$/s.exec(current) ?? [];
  if (pending) return { ...about, ...valuesOf(pending, { current, prefix: '', kinds }) };
  if (named !== undefined && !onlyArguments) {
    const option = findOption(command, named);
    return { ...about, ...(option ? valuesOf(option, { current: value ?? '', prefix: `${named}=`, kinds }) : nothing) };
  }
  if (current.startsWith('-') && !onlyArguments) return { ...about, candidates: optionsOf(command, current, options), ask: undefined };
  if (command.commands.length > 0) return { ...about, candidates: commandsOf(command, current), ask: undefined };
  const argument = command.registeredArguments[positions] ?? lastOne(command);
  return { ...about, ...(argument ? valuesOf(argument, { current, prefix: '', kinds }) : nothing) };
}

const nothing = { candidates: [], ask: undefined } as const;

/** Bash gives `--state=running` as three words. */
function joined(words: readonly string[]): string[] {
  const whole: string[] = [];
  for (const [index, word] of words.entries()) {
    const before = words[index - 1] ?? '';
    const continues = (word === '=' && /^--[^=]+$/.test(before)) || (before === '=' && /^--[^=]+$/.test(words[index - 2] ?? ''));
    if (continues) whole.push((whole.pop() ?? '') + word);
    else whole.push(word);
  }
  return whole;
}

interface Place {
  readonly command: Command;
  /** The option whose value comes next. */
  readonly pending: Option | undefined;
  /** How many arguments of the command have been given. */
  readonly positions: number;
  /** After `--`. */
  readonly onlyArguments: boolean;
  readonly options: Record<string, string>;
}

function placeOf(program: Command, before: readonly string[]): Place {
  let place: Place = { command: program, pending: undefined, positions: 0, onlyArguments: false, options: {} };
  for (const word of before) place = after(place, word);
  return place;
}

function after(place: Place, word: string): Place {
  const { command, pending, positions, onlyArguments, options } = place;
  if (pending) return { ...place, pending: undefined, options: { ...options, [pending.attributeName()]: word } };
  if (!onlyArguments && word === '--') return { ...place, onlyArguments: true };
  if (!onlyArguments && word.startsWith('-')) {
    const [name = '', value] = word.split(/=(.*)/s);
    const option = findOption(command, name);
    if (!option) return place;
    if (takesValue(option) && value === undefined) return { ...place, pending: option };
    return { ...place, options: { ...options, [option.attributeName()]: value ?? '' } };
  }
  const inner = positions === 0 ? command.commands.find((one) => one.name() === word || one.aliases().includes(word)) : undefined;
  return inner ? { ...place, command: inner } : { ...place, positions: positions + 1 };
}

function* withParents(command: Command): Generator<Command> {
  for (let at: Command | null = command; at; at = at.parent) yield at;
}

function pathOf(command: Command): string {
  return [...withParents(command)]
    .slice(0, -1)
    .map((one) => one.name())
    .toReversed()
    .join(' ');
}

function findOption(command: Command, name: string): Option | undefined {
  return [...withParents(command)].flatMap((one) => one.options).find((option) => option.long === name || option.short === name);
}

function takesValue(option: Option): boolean {
  return option.required || option.optional;
}

function lastOne(command: Command): Argument | undefined {
  const last = command.registeredArguments.at(-1);
  return last?.variadic ? last : undefined;
}

function optionsOf(command: Command, current: string, given: Readonly<Record<string, string>>): Candidate[] {
  const all = [...withParents(command)].flatMap((one) => one.options.filter((option) => !option.hidden));
  const open = all.filter((option) => option.variadic || !(option.attributeName() in given));
  const named = open.map((option) => ({ value: option.long ?? option.short ?? '', about: option.description }));
  return [...named, { value: '--help', about: 'display help for command' }].filter(({ value }) => value.startsWith(current));
}

function commandsOf(command: Command, current: string): Candidate[] {
  const shown = command.createHelp().visibleCommands(command);
  return shown.map((one) => ({ value: one.name(), about: one.description() })).filter(({ value }) => value.startsWith(current));
}

interface Sought {
  readonly current: string;
  readonly prefix: string;
  readonly kinds: Kinds;
}

function valuesOf(of: Option | Argument, { current, prefix, kinds }: Sought): Pick<Completion, 'candidates' | 'ask'> {
  const choices = of.argChoices ?? [];
  const kind = kindOf(of, kinds);
  return {
    candidates: choices.filter((choice) => choice.startsWith(current)).map((choice) => ({ value: prefix + choice, about: '' })),
    ask: kind === undefined ? undefined : { kind, prefix, current },
  };
}

/** By what it is called, else by what stands for its value in the help: `--to <dir>`. */
function kindOf(of: Option | Argument, kinds: Kinds): string | undefined {
  if (!('flags' in of)) return kinds[of.name()];
  return kinds[of.attributeName()] ?? kinds[/[<[]([\w-]+)/.exec(of.flags)?.[1] ?? ''];
}
