/** JSON and YAML as values, with the line of every part. JSON may hold comments and trailing commas; YAML is version 1.2. */
import { LineCounter, parseDocument } from 'yaml';
import { errorText } from '@croft/runtime/errors';
import type { Path } from './explain-issues.ts';
import { literalPlaces, withoutComments, lineCounter, type Places } from './literal-places.ts';

export type ReadText =
  | { readonly value: unknown; readonly places: Places }
  | { readonly mistakes: readonly { readonly line: number; readonly message: string }[] };

export function readJson(text: string): ReadText {
  const bare = withoutComments(text);
  try {
    return { value: JSON.parse(bare) as unknown, places: lazily(() => literalPlaces(bare)) };
  } catch (error) {
    const message = errorText(error);
    const [, position] = /at position (\d+)/.exec(message) ?? [];
    const line = lineCounter(text)(position === undefined ? text.trimEnd().length : Number(position));
    return { mistakes: [{ line, message: `is not JSON: ${message.replace(/ \(line \d+ column \d+\)$/, '')}` }] };
  }
}

export function readYaml(text: string): ReadText {
  const lineNumbers = new LineCounter();
  const document = parseDocument(text, { lineCounter: lineNumbers, prettyErrors: false, merge: true });
  const lineAt = (offset: number): number => Math.max(1, lineNumbers.linePos(offset).line);
  if (document.errors.length > 0)
    return { mistakes: document.errors.map(({ pos, message }) => ({ line: lineAt(pos[0]), message: `is not YAML: ${message}` })) };
  const offsetOf = (path: Path): number | undefined => {
    for (let length = path.length; length > 0; length -= 1) {
      const found = document.getIn(path.slice(0, length), true) as { range?: [number, number, number] } | undefined;
      if (found?.range) return found.range[0];
    }
    return undefined;
  };
  try {
    const value: unknown = document.toJS({ maxAliasCount: 1_000 });
    return { value, places: { lineOf: (path) => lineAt(offsetOf(path) ?? 0) } };
  } catch (error) {
    return { mistakes: [{ line: 1, message: `is not YAML: ${errorText(error)}` }] };
  }
}

export function lazily(make: () => Places): Places {
  let made: Places | undefined;
  return { lineOf: (path, value) => (made ??= make()).lineOf(path, value) };
}
