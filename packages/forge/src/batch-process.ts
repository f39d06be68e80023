/** One `git cat-file --batch` process: requests down a pipe, answers up another, in order. */
import type { Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { openByteInput, type ByteInput } from '@croft/streams/byte-input';
import { killTree, type Git } from './git-command.ts';

export interface GitObject {
  readonly id: string;
  readonly type: string;
  readonly size: number;
  /** In memory up to 1 MiB. A stream must be read to its end before the next object is asked for. */
  readonly content: Buffer | AsyncIterable<Buffer>;
}

export interface BatchProcess {
  /** False when it has died, or when an answer was not read to its end. */
  readonly usable: boolean;
  /** Resolves when the process is gone. */
  readonly closed: Promise<void>;
  /** One answer for each name; undefined for what does not exist. */
  ask(names: readonly string[], waits: Waits): AsyncGenerator<GitObject | undefined, void>;
  kill(): void;
}

const inMemoryBytes = 1024 * 1024;
/** Requests written ahead of the answers. */
const ahead = 256;
const maxLineBytes = 4096;

export function startBatchProcess(git: Git, dir: string): BatchProcess {
  const child = git.start([`--git-dir=${dir}`, 'cat-file', '--batch']);
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  child.once('close', resolve);
  child.once('error', () => resolve());
  // A process that did not start, or died, shows as the end of its answers.
  child.stdin.on('error', () => undefined);
  child.stdout.on('error', () => undefined);
  child.stderr.resume();
  const input = openByteInput(child.stdout);
  let asked = 0;
  return {
    get usable() {
      return asked === 0 && child.exitCode === null && child.signalCode === null && child.pid !== undefined;
    },
    closed,
    async *ask(names, waits) {
      for (let next = 0, written = 0; next < names.length; next += 1) {
        if (written - next < ahead / 2 && written < names.length) {
          const more = names.slice(written, next + ahead);
          child.stdin.write(more.map((name) => `${name}\n`).join(''));
          written += more.length;
          asked += more.length;
        }
        yield await answer(input, waits, () => {
          asked -= 1;
        });
      }
    },
    kill() {
      killTree(child);
      // Unread answers would keep the pipe, and so the process's end, open.
      child.stdout.destroy();
    },
  };
}

/** @param done called when the answer was read to its end */
async function answer(input: ByteInput, waits: Waits, done: () => void): Promise<GitObject | undefined> {
  const line = await readLine(input, waits);
  const [, id = '', type = '', digits = ''] = /^([0-9a-f]+) (\w+) (\d+)$/.exec(line) ?? [];
  if (/ (?:missing|ambiguous)$/.test(line)) {
    done();
    return undefined;
  }
  if (id === '') throw new CroftError('internal', `git cat-file answered ${JSON.stringify(line.slice(0, 200))}`);
  const size = Number(digits);
  if (size > inMemoryBytes) return { id, type, size, content: pieces(input, size, { ...waits, done }) };
  const content = (await input.exactly(size + 1, waits)).subarray(0, size);
  done();
  return { id, type, size, content };
}

async function* pieces(input: ByteInput, size: number, { done, ...waits }: Waits & { done: () => void }): AsyncGenerator<Buffer, void> {
  for (let left = size; left > 0;) {
    const chunk = await input.some(waits);
    if (!chunk) throw new CroftError('unavailable', 'git cat-file ended in the middle of an object');
    const piece = chunk.subarray(0, left);
    input.unread(chunk.subarray(piece.length));
    left -= piece.length;
    yield piece;
  }
  await input.exactly(1, waits);
  done();
}

async function readLine(input: ByteInput, waits: Waits): Promise<string> {
  let line = '';
  while (line.length <= maxLineBytes) {
    const chunk = await input.some(waits);
    if (!chunk)
      throw new CroftError('unavailable', 'git cat-file ended instead of answering', {
        hint: 'See that git works and that the mirror is whole.',
      });
    const end = chunk.indexOf(0x0a);
    line += chunk.toString('latin1', 0, end < 0 ? chunk.length : end);
    if (end < 0) continue;
    input.unread(chunk.subarray(end + 1));
    return line;
  }
  throw new CroftError('internal', 'git cat-file answered with a line without end');
}
