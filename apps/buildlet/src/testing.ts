/** What the tests of the buildlet share: a process with its client, plain requests, commands and looking at processes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import { startTestBuildlet, type TestBuildlet, type TestBuildletOptions } from '@croft/buildlet/testing';
import { parseRunId } from '@croft/domain/names';
import type { Run, RunSpec } from '@croft/protocol/runs';
import { systemClock } from '@croft/runtime/clock';
import { isCode, type ErrorCode } from '@croft/runtime/errors';

export interface TestMachine extends AsyncDisposable {
  readonly process: TestBuildlet;
  readonly client: Buildlet;
}

export async function startMachine(options: TestBuildletOptions = {}): Promise<TestMachine> {
  const process = await startTestBuildlet(options);
  const client = createBuildlet(process.address, { clock: systemClock });
  return {
    process,
    client,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await process[Symbol.asyncDispose]();
    },
  };
}

export const runId = parseRunId;

export function spec(argv: readonly string[], rest: Partial<RunSpec> = {}): RunSpec {
  return { argv: [...argv], dir: '.', env: {}, limitMs: 60_000, outputLimitBytes: 1 << 30, ...rest };
}

export function shell(script: string, rest: Partial<RunSpec> = {}): RunSpec {
  return spec(['sh', '-c', script], rest);
}

/** Waits for the end of a run, at most a minute. */
export async function endOf(client: Buildlet, id: string): Promise<Extract<Run, { state: 'ended' }>> {
  const run = await client.run(runId(id), { waitMs: 60_000 });
  assert.ok(typeof run === 'object' && run.state === 'ended', `run ${id} has not ended: ${JSON.stringify(run)}`);
  return run;
}

/** Starts a run, waits for its end and reads all of its output. */
export async function complete(
  client: Buildlet,
  id: string,
  what: RunSpec,
): Promise<{ run: Extract<Run, { state: 'ended' }>; output: Buffer }> {
  await client.startOrAttach(runId(id), what, 1, {});
  return { run: await endOf(client, id), output: await readOutput(client, id) };
}

export async function readOutput(client: Buildlet, id: string, from = 0): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of client.output(runId(id), from, { signal: systemClock.deadline(60_000) })) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

/** Polls a condition of the outside world that nothing announces. */
export async function until<T>(what: string, probe: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
  const deadline = systemClock.deadline(60_000);
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (deadline.aborted) assert.fail(`waited too long: ${what}`);
    await systemClock.sleep(5);
  }
}

/** Output of a run that is still going on, once it matches. */
export async function outputMatching(client: Buildlet, id: string, pattern: RegExp): Promise<RegExpExecArray> {
  let seen = '';
  for await (const piece of client.output(runId(id), 0, { signal: systemClock.deadline(20_000) })) {
    seen += piece.toString();
    const match = pattern.exec(seen);
    if (match) return match;
  }
  return assert.fail(`the output ended without ${pattern}: ${seen}`);
}

/** A killed process whose parent has not asked for its end yet (a zombie) is not alive. */
export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

export const withCode = (code: ErrorCode) => (error: unknown) => isCode(error, code) || assert.fail(`not "${code}": ${String(error)}`);

export interface PlainRequest {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array;
  /** Instead of the right one; undefined sends none. */
  readonly password?: string | undefined;
}

export interface PlainAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A request as any program could send it, beside the client. */
export async function ask({ address }: TestBuildlet, asked: PlainRequest): Promise<PlainAnswer> {
  const password = 'password' in asked ? asked.password : address.password;
  const auth = password === undefined ? {} : { Authorization: `Basic ${Buffer.from(`anybody:${password}`).toString('base64')}` };
  const request = httpRequest({
    ...('socketPath' in address ? { socketPath: address.socketPath } : { host: address.host, port: address.port }),
    method: asked.method ?? 'GET',
    path: asked.path,
    headers: { ...auth, ...asked.headers },
    agent: false,
    signal: systemClock.deadline(30_000),
  });
  request.end(asked.body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) };
}
