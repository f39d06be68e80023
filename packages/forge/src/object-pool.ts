/**
 * Objects of a repository from warm `git cat-file --batch` processes: at the price of a pipe, not of a process. Each reader has
 * a process to itself, so that one who reads slowly holds up nobody; an idle process ends after a minute.
 */
import { anySignal, MINUTE, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { startBatchProcess, type BatchProcess, type GitObject } from './batch-process.ts';
import type { Git } from './git-command.ts';
import { createTurns } from './turns.ts';

const maxProcesses = 8;
const idleMs = MINUTE;
/** Reading takes this long at most, however slow the one who reads. */
const limitMs = 30 * MINUTE;

export class ObjectPool implements AsyncDisposable {
  readonly #git: Git;
  readonly #dir: string;
  readonly #clock: Clock;
  readonly #turns = createTurns(maxProcesses);
  readonly #disposed = new AbortController();
  /** Warm processes, the latest last, each with what ends its rest. */
  readonly #idle: { readonly batch: BatchProcess; readonly wake: AbortController }[] = [];
  readonly #living = new Set<Promise<void>>();

  constructor(git: Git, dir: string, clock: Clock) {
    this.#git = git;
    this.#dir = dir;
    this.#clock = clock;
  }

  /** An object as a whole; undefined when there is none. @throws CroftError `exhausted` when it is larger than `maxBytes` */
  async read(name: string, waits: Waits, maxBytes: number): Promise<{ id: string; type: string; content: Buffer } | undefined> {
    for await (const found of this.#ask([name], waits)) {
      if (!found) return undefined;
      const { id, type, size, content } = found;
      if (size > maxBytes) throw new CroftError('exhausted', `git object ${name} has ${size} bytes, more than ${maxBytes}`);
      return { id, type, content: Buffer.isBuffer(content) ? content : Buffer.concat(await Array.fromAsync(content)) };
    }
    return undefined;
  }

  /** Objects in the order of their ids. @throws CroftError `unavailable` at one that is missing */
  async *stream(ids: readonly string[], waits: Waits): AsyncGenerator<GitObject, void> {
    let next = 0;
    for await (const found of this.#ask(ids, waits)) {
      if (!found)
        throw new CroftError('unavailable', `git object ${ids[next]} is missing in ${this.#dir}`, {
          hint: 'Delete that directory; it is fetched again.',
        });
      next += 1;
      yield found;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed.abort(new CroftError('stopped', `closing ${this.#dir}`));
    for (const { batch, wake } of this.#idle.splice(0)) {
      wake.abort();
      batch.kill();
    }
    while (this.#living.size > 0) await Promise.all(this.#living);
  }

  async *#ask(names: readonly string[], waits: Waits): AsyncGenerator<GitObject | undefined, void> {
    const signal = anySignal(waits.signal, this.#disposed.signal, this.#clock.deadline(limitMs));
    const giveBack = await this.#turns.take({ signal });
    const batch = this.#take();
    try {
      yield* batch.ask(names, { signal });
    } finally {
      if (batch.usable && !this.#disposed.signal.aborted) this.#own(this.#rest(batch));
      else batch.kill();
      giveBack();
    }
  }

  #take(): BatchProcess {
    for (let warm = this.#idle.pop(); warm; warm = this.#idle.pop()) {
      warm.wake.abort();
      if (warm.batch.usable) return warm.batch;
    }
    const batch = startBatchProcess(this.#git, this.#dir);
    this.#own(batch.closed);
    return batch;
  }

  async #rest(batch: BatchProcess): Promise<void> {
    const resting = { batch, wake: new AbortController() };
    this.#idle.push(resting);
    try {
      await this.#clock.sleep(idleMs, { signal: resting.wake.signal });
    } catch {
      return; // taken again, or disposed
    }
    this.#idle.splice(this.#idle.indexOf(resting), 1);
    batch.kill();
  }

  #own(life: Promise<void>): void {
    this.#living.add(life);
    void life.then(() => this.#living.delete(life));
  }
}
