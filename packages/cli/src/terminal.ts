/** Where a command writes: results to stdout, words for people to stderr. Keeps control characters of others off the terminal. */
import { once } from 'node:events';
import { styleText } from 'node:util';

export type Style = 'red' | 'green' | 'yellow' | 'blue' | 'gray' | 'bold';

export interface Output {
  readonly isTerminal: boolean;
  readonly columns: number;
  /** Waits while the reader is slow. @throws PipeClosed when nobody reads any more */
  write(data: string | Uint8Array): Promise<void>;
  /** The text in a style, or as it is where colours are not wanted. */
  paint(style: Style, text: string): string;
}

/** The reader has gone (`croft log … | head`): no failure, there is just nothing left to do. */
export class PipeClosed extends Error {}

export function outputTo(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): Output {
  const isTerminal = stream.isTTY === true;
  const colours = isTerminal && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  let gone = false;
  stream.on('error', () => {
    gone = true;
  });
  return {
    isTerminal,
    columns: stream.columns ?? 80,
    async write(data) {
      if (!gone && !stream.write(data)) await once(stream, 'drain').catch(() => {});
      if (gone) throw new PipeClosed();
    },
    paint: (style, text) => (colours ? styleText(style, text, { validateStream: false }) : text),
  };
}

/** Text from the farm on one line, without anything that moves the cursor or turns the line around. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu, ' ').trim();
}

/** Lines wider than the terminal go on in the next one: below their beginning, or below the comment that ends them. Words stay whole. */
export function fitted(text: string, columns: number): string {
  return text.replaceAll(/.+/g, (line) => (line.length > columns ? folded(line, columns) : line));
}

function folded(line: string, columns: number): string {
  const comment = line.indexOf(' # ') + 1;
  const indent = comment > 0 && comment < (columns * 2) / 3 ? `${' '.repeat(comment)}# ` : (/^ */.exec(line)?.[0] ?? '');
  const done: string[] = [];
  let current = '';
  for (const word of line.split(/(?<=\S) (?=\S)/)) {
    const longer = current === '' ? word : `${current} ${word}`;
    if (current === '' || longer.length <= columns) {
      current = longer;
      continue;
    }
    done.push(current);
    current = indent + word;
  }
  return [...done, current].join('\n');
}

/** Columns padded to their widest cell; the last one is cut at the terminal's edge. */
export function table(rows: readonly (readonly Cell[])[], output: Output): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.text.length ?? 0)));
  return rows
    .map((row) => {
      const used = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
      const cells = row.map(({ text, style }, column) => {
        const last = column === row.length - 1;
        const shown = last && output.isTerminal ? text.slice(0, Math.max(10, output.columns - used)) : text;
        const painted = style ? output.paint(style, shown) : shown;
        return last ? painted : painted + ' '.repeat((widths[column] ?? 0) - text.length);
      });
      return `${cells.join('  ').trimEnd()}\n`;
    })
    .join('');
}

export interface Cell {
  readonly text: string;
  readonly style?: Style | undefined;
}
