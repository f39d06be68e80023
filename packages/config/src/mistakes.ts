/** Mistakes in a configuration, each with the file and line where it stands and what was probably meant. */
import { CroftError } from '@croft/runtime/errors';
import { valueAt, type Issue } from './explain-issues.ts';
import type { Places } from './literal-places.ts';

export interface Mistake {
  readonly file: string;
  readonly line: number | undefined;
  /** The setting, as in `builders.3.hostType`; empty for the whole. */
  readonly setting: string;
  readonly message: string;
  readonly nearest: string | undefined;
}

export function placeIssues(
  issues: readonly Issue[],
  { file, input, places }: { file: string; input: unknown; places?: Places | undefined },
): Mistake[] {
  const mistakes = issues.map(({ path, message, nearest }) => ({
    file,
    line: places?.lineOf(path, valueAt(input, path)),
    setting: path.join('.'),
    message,
    nearest,
  }));
  return mistakes.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0));
}

/** `FILE:LINE: SETTING: what is wrong; did you mean "X"?` */
export function mistakeText({ file, line, setting, message, nearest }: Mistake): string {
  const place = line === undefined ? file : `${file}:${line}`;
  return `${place}: ${setting === '' ? '' : `${setting}: `}${message}${nearest === undefined ? '' : `; did you mean "${nearest}"?`}`;
}

export function mistakesError(file: string, mistakes: readonly Mistake[]): CroftError {
  const count = mistakes.length === 1 ? '1 mistake' : `${mistakes.length} mistakes`;
  return new CroftError('invalid', `${file}: ${count}\n${mistakes.map((mistake) => `  ${mistakeText(mistake)}`).join('\n')}`, {
    hint: 'Correct what is named above; nothing was started.',
  });
}
