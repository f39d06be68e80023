/**
 * Runs one test file as a process of its own and reads the events its reporter writes. A file that crashes, hangs or keeps
 * handles open comes back as a failure by name; whatever happens, its process group is gone afterwards.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { foldEvents, pendingTests, type FileResult, type TestEvent } from './test-result.ts';

export interface TestFileOptions {
  readonly root: string;
  /** Where the events file is written, and what Node compiled for one process and others of the run need as well. */
  readonly scratchDir: string;
  /** Of each test, ms. */
  readonly timeoutMs: number;
  /** How long the process may live on once all its tests have ended, ms. */
  readonly lingerMs: number;
  readonly nodeOptions: readonly string[];
  readonly signal: AbortSignal;
}

const outputLimit = 64 * 1024;
const pollMs = 250;
/** Above the tests' own limit: one that blocks the event loop cannot end itself. */
const hangMarginMs = 30_000;
const reporter = new URL('./test-events.mjs', import.meta.url).href;

export async function runTestFile(file: string, options: TestFileOptions): Promise<FileResult> {
  const startedAt = performance.now();
  const eventsFile = join(options.scratchDir, `${file.replaceAll(/[^A-Za-z0-9.]/g, '-')}.jsonl`);
  const child = startProcess(file, eventsFile, options);
  const output = keepTail(child);
  const ending = endWhenStuck(child, eventsFile, options);
  const exit = await exitOf(child);
  const ended = ending.stop();
  const events = readEvents(eventsFile);
  rmSync(eventsFile, { force: true });
  const filtered = options.nodeOptions.length > 0;
  return foldEvents(events, { file, exit, ended, filtered, output: output(), elapsedMs: performance.now() - startedAt });
}

function startProcess(file: string, eventsFile: string, { root, timeoutMs, nodeOptions, scratchDir }: TestFileOptions): ChildProcess {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const reporting = [`--test-reporter=${reporter}`, '--test-reporter-destination=stderr'];
  return spawn(process.execPath, [`--test-timeout=${timeoutMs}`, ...reporting, ...nodeOptions, file], {
    cwd: root,
    env: { ...env, CROFT_TEST_EVENTS: eventsFile, NODE_COMPILE_CACHE: join(scratchDir, 'compiled') },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
}

/** @returns a function that gives the last of what both streams have carried */
function keepTail({ stdout, stderr }: ChildProcess): () => string {
  let chunks: Buffer[] = [];
  const onData = (chunk: Buffer): void => {
    chunks.push(chunk);
    const all = Buffer.concat(chunks);
    chunks = [all.length > 2 * outputLimit ? all.subarray(-outputLimit) : all];
  };
  stdout?.on('data', onData);
  stderr?.on('data', onData);
  return () => Buffer.concat(chunks).subarray(-outputLimit).toString();
}

/** Resolves when the process and its group are gone: undefined for status 0. */
async function exitOf(child: ChildProcess): Promise<string | undefined> {
  const closed = once(child, 'close').catch(() => undefined);
  try {
    const [code, signal] = await once(child, 'exit');
    return code === 0 ? undefined : `exited with ${signal ?? `code ${code}`}`;
  } catch (error) {
    return `could not be started: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    killGroup(child);
    await Promise.race([closed, sleep(1_000, undefined, { ref: false })]); // a process that left the group may hold the pipes
    child.stdout?.destroy();
    child.stderr?.destroy();
  }
}

/** Ends a process that is interrupted, hangs, or lingers after its last test. @returns `stop`, which says why, if it did */
function endWhenStuck(child: ChildProcess, eventsFile: string, options: TestFileOptions): { stop(): string | undefined } {
  const hangMs = options.timeoutMs + hangMarginMs;
  let why: string | undefined;
  let seen = 0;
  let quietSince = performance.now();
  const end = (reason: string): void => {
    why ??= reason;
    killGroup(child);
  };
  const look = (): void => {
    const size = statSync(eventsFile, { throwIfNoEntry: false })?.size ?? 0;
    if (size !== seen) quietSince = performance.now();
    seen = size;
    const quietMs = performance.now() - quietSince;
    if (quietMs > options.lingerMs && allEnded(readEvents(eventsFile))) {
      end(`was ended: ${options.lingerMs / 1_000} s after its last test something kept it alive (a timer, server, socket or child)`);
    }
    if (quietMs > hangMs) end(`was ended: nothing happened for ${hangMs / 1_000} s`);
  };
  const ticker = setInterval(look, pollMs);
  const onAbort = (): void => end('was interrupted');
  options.signal.addEventListener('abort', onAbort, { once: true });
  if (options.signal.aborted) onAbort();
  return {
    stop() {
      clearInterval(ticker);
      options.signal.removeEventListener('abort', onAbort);
      return why;
    },
  };
}

function allEnded(events: readonly TestEvent[]): boolean {
  return events.some((event) => event.kind === 'end') && pendingTests(events).size === 0;
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // nobody of it is left
  }
}

/** The events written so far; a line cut by a crash is left out. */
function readEvents(eventsFile: string): TestEvent[] {
  let text: string;
  try {
    text = readFileSync(eventsFile, 'utf8');
  } catch {
    return [];
  }
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}
