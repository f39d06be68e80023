/** Looks for a pattern in output as it passes, line by line; what is kept of an endless line is bounded. */
import { StringDecoder } from 'node:string_decoder';
import { CroftError } from '@croft/runtime/errors';
import type { Sink } from './follow-run.ts';

const longestLine = 1024 ** 2;

export interface Watch {
  readonly found: boolean;
  /** The same sink, seen through. */
  through(sink: Sink): Sink;
  /** The last line has no end. */
  finish(): void;
}

export function watchFor(pattern: RegExp): Watch {
  const lines = new Set<() => void>();
  let found = false;
  return {
    get found() {
      return found;
    },
    through(sink) {
      const decoder = new StringDecoder('utf8');
      let rest = '';
      const look = (): void => void (found ||= pattern.test(rest));
      lines.add(look);
      return async (bytes) => {
        const parts = (rest + decoder.write(bytes as Buffer)).split('\n');
        rest = parts.pop() ?? '';
        found ||= parts.some((line) => pattern.test(line));
        if (rest.length > longestLine) {
          look();
          rest = rest.slice(-longestLine / 2);
        }
        await sink(bytes);
      };
    },
    finish() {
      for (const look of lines) look();
    },
  };
}

/** @throws CroftError `invalid` */
export function parsePattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new CroftError('invalid', `-until ${JSON.stringify(text)} is not a regular expression`, { cause: error });
  }
}
