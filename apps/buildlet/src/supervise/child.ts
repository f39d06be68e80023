/** The buildlet as a child of its supervisor: one process and the channel to it. */
import { spawn, type StdioOptions } from 'node:child_process';
import type { Writable } from 'node:stream';
import type { Clock } from '@croft/runtime/clock';
import type { Secret } from '@croft/runtime/config';

export type ChildEnd =
  /** By itself, because it was asked to drain, or because it was stopped. */
  | { readonly kind: 'ended' }
  /** Another process holds what it needs, such as a predecessor that is still draining. */
  | { readonly kind: 'held' }
  | { readonly kind: 'died'; readonly evidence: string };

export interface Child {
  readonly pid: number | undefined;
  readonly ready: Promise<void>;
  readonly ended: Promise<ChildEnd>;
  drain(): void;
  /** Ends it with its commands; with SIGKILL when that takes longer than `withinMs`. */
  stop(withinMs: number): Promise<void>;
}

export interface ChildOptions {
  readonly program: string;
  readonly args: readonly string[];
  /** Read by it from descriptor 4. */
  readonly key: Secret | undefined;
  readonly clock: Clock;
}

/** What `runMain` ends with when what is needed belongs to somebody else. */
const heldStatus = 3;
const quiet = '--disable-warning=ExperimentalWarning';

export function startChild({ program, args, key, clock }: ChildOptions): Child {
  const flags = process.allowedNodeEnvironmentFlags.has('--disable-warning') ? [quiet] : [];
  const stdio: StdioOptions = ['ignore', 'inherit', 'inherit', 'ipc', ...(key ? ['pipe' as const] : [])];
  const child = spawn(process.execPath, [...flags, program, ...args], { stdio });
  const pipe = child.stdio.at(4) as Writable | null | undefined;
  if (key) pipe?.on('error', () => {}).end(key.reveal()); // one that dies before it has read it is told as that
  const ready = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<ChildEnd>();
  child.on('message', (message) => {
    if (message === 'ready') ready.resolve();
  });
  child.once('error', (error) => ended.resolve({ kind: 'died', evidence: `it could not be started: ${error.message}` }));
  child.once('exit', (code, signal) => {
    if (code === 0) ended.resolve({ kind: 'ended' });
    else if (code === heldStatus) ended.resolve({ kind: 'held' });
    else ended.resolve({ kind: 'died', evidence: signal === null ? `exit status ${code}` : `signal ${signal}` });
  });
  return {
    pid: child.pid,
    ready: ready.promise,
    ended: ended.promise,
    drain() {
      if (child.connected) child.send('drain', () => {});
    },
    async stop(withinMs) {
      child.kill('SIGTERM');
      const done = new AbortController();
      const late = clock.sleep(withinMs, { signal: done.signal }).then(
        () => child.kill('SIGKILL'),
        () => false,
      );
      await ended.promise;
      done.abort();
      await late;
    },
  };
}
