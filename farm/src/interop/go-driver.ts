/** Speaks with our driver of Go's client and reverse pool (`farm/interop/driver`): a JSON line each way. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { MINUTE, systemClock } from '@croft/runtime/clock';

export interface GoDriver extends AsyncDisposable {
  /**
   * Resolves with the answer's fields. An abort cancels the call's context in Go.
   * @throws Error with Go's own text when the call gave an error
   */
  call<T = unknown>(op: string, fields?: Readonly<Record<string, unknown>>, calling?: Calling): Promise<T>;
  /** Every event so far that belongs to no call. */
  readonly events: readonly DriverEvent[];
  /** What Go's packages logged. */
  log(): string;
  kill(): Promise<void>;
}

export interface Calling {
  readonly onEvent?: (event: DriverEvent) => void;
  readonly signal?: AbortSignal;
}

export interface DriverEvent {
  readonly event: string;
  readonly of?: number;
  readonly client?: string;
  readonly data?: string;
}

interface Pending {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly onEvent: ((event: DriverEvent) => void) | undefined;
}

const logLimit = 256 * 1024;
const callMs = 2 * MINUTE;

export function startGoDriver(program: string): GoDriver {
  const child = spawn(program, { stdio: ['pipe', 'pipe', 'pipe'], env: {} });
  const ended = once(child, 'close').catch(() => undefined);
  const pending = new Map<number, Pending>();
  const events: DriverEvent[] = [];
  let log = '';
  let made = 0;
  child.stderr.setEncoding('utf8').on('data', (piece: string) => void (log = (log + piece).slice(-logLimit)));
  child.stdin.on('error', () => undefined); // told by the end
  createInterface({ input: child.stdout }).on('line', (line) => take(JSON.parse(line) as DriverEvent & { id?: number; error?: string }));
  void ended.then(() => {
    for (const { reject } of pending.values()) reject(new Error(`the driver ended: ${log}`));
  });

  function take(message: DriverEvent & { id?: number; error?: string }): void {
    if (message.event !== undefined) {
      const call = message.of === undefined ? undefined : pending.get(message.of);
      if (call) return call.onEvent?.(message);
      return void events.push(message);
    }
    const { id = -1, error, ...answer } = message;
    const call = pending.get(id);
    pending.delete(id);
    if (error === undefined) call?.resolve(answer);
    else call?.reject(new Error(error));
  }

  return {
    events,
    log: () => log,
    async call<T>(op: string, fields = {}, { onEvent, signal }: Calling = {}) {
      const id = (made += 1);
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      pending.set(id, { resolve, reject, onEvent });
      const send = (request: object): boolean => child.stdin.write(`${JSON.stringify(request)}\n`);
      const cancel = (): boolean => send({ id: (made += 1), op: 'cancel', target: id });
      signal?.addEventListener('abort', cancel, { once: true });
      const limit = systemClock.deadline(callMs);
      const late = (): void => reject(new Error(`${op} gave no answer within ${callMs} ms: ${log}`));
      limit.addEventListener('abort', late, { once: true });
      try {
        send({ id, op, ...fields });
        return (await promise) as T;
      } finally {
        signal?.removeEventListener('abort', cancel);
        limit.removeEventListener('abort', late);
        pending.delete(id);
      }
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
