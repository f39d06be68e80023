/** A command line without a process, and a farm that answers what a test tells it. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { systemClock, type Clock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { seededRandom } from '@croft/runtime/testing';
import { serve, type Handler, type Listener } from '@croft/web/listener';
import type { Cli, RunCli } from './program.ts';
import type { Output } from './terminal.ts';

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly bytes: Buffer;
}

export interface RunOptions {
  /** Whole, or as it comes. */
  readonly stdin?: string | AsyncIterable<Uint8Array>;
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  readonly terminal?: boolean;
  readonly onStdout?: (text: string) => void;
  /** Ctrl-C. */
  readonly signal?: AbortSignal;
  /** The same in each run without it. */
  readonly random?: Random;
  /** In place of the clock's own. */
  readonly deadline?: Clock['deadline'];
}

/** Waits as told, but never long. */
const clock: Clock = {
  ...systemClock,
  now: () => testNow,
  sleep: (ms, waits) => systemClock.sleep(ms >= 15_000 ? ms : Math.min(ms, 5), waits),
};
export const testNow = Date.UTC(2026, 0, 15, 12);

export async function runWith(run: RunCli, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { stdin = '', env = {}, cwd = '/', terminal = false, onStdout, random = seededRandom(1) } = options;
  const { signal = new AbortController().signal, deadline = clock.deadline } = options;
  const input = typeof stdin === 'string' ? Readable.from([Buffer.from(stdin)]) : stdin;
  const [out, err] = [recorder(terminal, onStdout), recorder(terminal)];
  const cli: Cli = {
    stdin: {
      isTerminal: terminal,
      secret: async () => (await text(Readable.from(input))).trimEnd(),
      [Symbol.asyncIterator]: () => input[Symbol.asyncIterator](),
    },
    stdout: out.output,
    stderr: err.output,
    env,
    cwd,
    clock: { ...clock, deadline },
    random,
    interruption: () => ({ signal, [Symbol.dispose]() {} }),
  };
  const status = await run(args, cli);
  const bytes = Buffer.concat(out.parts);
  return { status, stdout: bytes.toString(), stderr: Buffer.concat(err.parts).toString(), bytes };
}

function recorder(isTerminal: boolean, onText: (text: string) => void = () => {}): { output: Output; parts: Buffer[] } {
  const parts: Buffer[] = [];
  const paint: Output['paint'] = (style, text) => (isTerminal ? `<${style}>${text}</${style}>` : text);
  return {
    parts,
    output: {
      isTerminal,
      columns: 100,
      paint,
      async write(data) {
        parts.push(Buffer.from(data));
        onText(Buffer.concat(parts).toString());
      },
    },
  };
}

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly listener: Listener;
  /** `POST /api/v1/… body`, in order. */
  readonly asked: string[];
}

/** Answers by `METHOD /path`; anything else is not found. */
export async function openTestServer(answers: Readonly<Record<string, Handler>>): Promise<TestServer> {
  const asked: string[] = [];
  const listener = await serve(
    async (request, connection) => {
      const { pathname, search } = new URL(request.url);
      asked.push(`${request.method} ${pathname}${search} ${await request.clone().text()}`.trim());
      const answer = answers[`${request.method} ${pathname}`];
      return answer
        ? answer(request, connection)
        : Response.json({ code: 'not-found', message: `nothing at ${pathname}` }, { status: 404 });
    },
    { host: '127.0.0.1', port: 0, log: silentLog, graceMs: 100 },
  );
  return { url: listener.url, listener, asked, [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose]() };
}

/** What a command wrote with `--json`. @param of the command, for the failure that it was anything else */
export function oneValue(stdout: string, of: string): Record<string, unknown> {
  try {
    return JSON.parse(stdout) as Record<string, unknown>;
  } catch {
    return assert.fail(`${of} wrote ${JSON.stringify(stdout)}`);
  }
}
