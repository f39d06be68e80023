/**
 * One `git cat-file --batch` process that is kept warm: objects by id at the price of a pipe, not of a process. Requests are
 * answered in order, one object at a time; large objects are streamed.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { CroftError } from '@croft/runtime/errors';

export interface GitObject {
  readonly type: string;
  readonly size: number;
  /** Must be read to its end before the next object is asked for. A small one comes in one piece. */
  readonly content: AsyncIterable<Buffer>;
}

export interface CatFile extends AsyncDisposable {
  /** The objects in the order of the ids, undefined for one that is missing. One caller at a time, and to the end. */
  read(ids: readonly string[]): AsyncGenerator<GitObject | undefined>;
}

/** Ids written ahead of the answers, so that git is never waited for between two small objects. */
const ahead = 256;

type Child = ChildProcessByStdio<Writable, Readable, null>;

export function startCatFile(dir: string, env: Readonly<Record<string, string>>): CatFile {
  const child: Child = spawn('git', ['--git-dir', dir, 'cat-file', '--batch'], { env, stdio: ['pipe', 'pipe', 'ignore'] });
  const failed = new Promise<never>((_resolve, reject) => child.once('error', reject));
  failed.catch(() => undefined);
  child.stdin.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const input = child.stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let rest: Buffer = Buffer.alloc(0);

  const more = async (): Promise<void> => {
    const next = await Promise.race([input.next(), failed]);
    if (next.done) throw new CroftError('unavailable', `git cat-file ended while reading ${dir}`);
    rest = rest.length === 0 ? next.value : Buffer.concat([rest, next.value]);
  };
  const line = async (): Promise<string> => {
    for (;;) {
      const end = rest.indexOf(10);
      if (end >= 0) {
        const text = rest.toString('latin1', 0, end);
        rest = rest.subarray(end + 1);
        return text;
      }
      await more();
    }
  };
  async function* take(size: number): AsyncGenerator<Buffer> {
    for (let left = size; left > 0; ) {
      if (rest.length === 0) await more();
      const piece = rest.subarray(0, left);
      rest = rest.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
    if (rest.length === 0) await more();
    rest = rest.subarray(1);
  }
  return {
    async *read(ids) {
      for (let at = 0, asked = 0; at < ids.length; at += 1) {
        if (asked <= at + ahead / 2 && asked < ids.length) {
          const batch = ids.slice(asked, at + ahead);
          asked += batch.length;
          child.stdin.write(`${batch.join('\n')}\n`);
        }
        const [, type = '', size = ''] = (await line()).split(' ');
        yield type === 'missing' ? undefined : { type, size: Number(size), content: take(Number(size)) };
      }
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      child.kill('SIGKILL');
      await closed;
    },
  };
}
