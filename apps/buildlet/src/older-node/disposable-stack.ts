/** Explicit resource management for Node before 24, with the meaning of ECMA-262: last in, first out; every failure is kept. */

type Disposer = () => unknown;

/** What was thrown during a disposal that another error had led to. */
export class SuppressedFailure extends Error {
  readonly error: unknown;
  readonly suppressed: unknown;

  constructor(error: unknown, suppressed: unknown, message = 'an error was suppressed during disposal') {
    super(message);
    this.name = 'SuppressedError';
    this.error = error;
    this.suppressed = suppressed;
  }
}

export class DisposerStack implements AsyncDisposableStack {
  #disposers: Disposer[] | undefined = [];

  get disposed(): boolean {
    return this.#disposers === undefined;
  }

  get [Symbol.toStringTag](): string {
    return 'AsyncDisposableStack';
  }

  use<T extends AsyncDisposable | Disposable | null | undefined>(value: T): T {
    const disposers = this.#open();
    if (value === null || value === undefined) return value;
    const way = (value as Partial<AsyncDisposable>)[Symbol.asyncDispose] ?? (value as Partial<Disposable>)[Symbol.dispose];
    if (typeof way !== 'function') throw new TypeError('the value has no way to be disposed');
    disposers.push(() => way.call(value));
    return value;
  }

  adopt<T>(value: T, dispose: (value: T) => unknown): T {
    this.#open().push(() => dispose(value));
    return value;
  }

  defer(dispose: Disposer): void {
    this.#open().push(dispose);
  }

  move(): DisposerStack {
    const moved = new DisposerStack();
    moved.#disposers = this.#open();
    this.#disposers = undefined;
    return moved;
  }

  async disposeAsync(): Promise<void> {
    const disposers = this.#disposers ?? [];
    this.#disposers = undefined;
    let failure: { error: unknown } | undefined;
    for (const dispose of disposers.toReversed()) {
      try {
        await dispose();
      } catch (error) {
        failure = { error: failure ? new SuppressedFailure(error, failure.error) : error };
      }
    }
    if (failure) throw failure.error;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.disposeAsync();
  }

  #open(): Disposer[] {
    if (!this.#disposers) throw new ReferenceError('the stack is disposed already');
    return this.#disposers;
  }
}
