/** One request to a buildlet: authenticated, with the epoch, a deadline, a capped answer, and failures as `CroftError`s. */
import { request, type Agent, type IncomingMessage, type ClientRequest } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { epochHeader, errorBodySchema } from '@croft/protocol/runs';
import { codeOfStatus } from '@croft/protocol/status-codes';
import { anySignal, MINUTE, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { asCroftError, CroftError, isCode } from '@croft/runtime/errors';
import type { BuildletAddress } from './client.ts';

export interface Ask {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly epoch?: number | undefined;
  readonly json?: unknown;
  readonly form?: URLSearchParams;
  readonly body?: AsyncIterable<Uint8Array>;
  /** For work whose length depends on its size. */
  readonly slow?: boolean;
  /** Added to the deadline, ms. */
  readonly extraMs?: number | undefined;
}

export interface Http {
  /** The parsed body. */
  json(ask: Ask, waits: Waits): Promise<unknown>;
  text(ask: Ask, waits: Waits): Promise<string>;
  /** The answer as soon as its head is there, after a check of its status. The caller reads or destroys it. */
  open(ask: Ask, waits: Waits): Promise<IncomingMessage>;
}

const answerMs = 15 * SECOND;
const slowMs = 30 * MINUTE;
/** A list of 10,000 runs fits. */
const maxBodyBytes = 8 * 1024 * 1024;

export function createHttp(address: BuildletAddress, agent: Agent, clock: Clock): Http {
  const { socketPath, host, port, password } = address;
  const target = socketPath === undefined ? { host, port } : { socketPath };
  const authorization = `Basic ${Buffer.from(`:${password}`).toString('base64')}`;

  const send = (ask: Ask, signal: AbortSignal | undefined): ClientRequest => {
    const body = ask.json === undefined ? ask.form?.toString() : JSON.stringify(ask.json);
    const type = ask.json === undefined ? (ask.form ? 'application/x-www-form-urlencoded' : 'application/octet-stream') : 'application/json';
    const headers = {
      authorization,
      host: 'buildlet.localhost',
      ...(ask.epoch === undefined ? {} : { [epochHeader]: String(ask.epoch) }),
      ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
      ...(body === undefined && !ask.body ? {} : { 'content-type': type }),
    };
    const sent = request({ ...target, agent, method: ask.method, path: ask.path, headers, ...(signal ? { signal } : {}) });
    if (!ask.body) sent.end(body);
    return sent;
  };

  const open = async (ask: Ask, { signal }: Waits): Promise<IncomingMessage> => {
    const doing = `${ask.method} ${ask.path.split('?')[0]} on the buildlet`;
    signal?.throwIfAborted();
    const sent = send(ask, signal);
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      sent.once('response', resolve);
      sent.on('error', reject);
    });
    const upload = ask.body ? startUpload(ask.body, sent) : undefined;
    try {
      const answer = await answered;
      if ((answer.statusCode ?? 500) >= 400) throw await refusal(answer, doing);
      await upload?.done;
      return answer;
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof CroftError) && upload?.failure !== undefined) throw asCroftError(upload.failure, 'unavailable', doing);
      throw asCroftError(error, 'unavailable', doing);
    } finally {
      await upload?.end();
    }
  };

  const text = async (ask: Ask, { signal }: Waits): Promise<string> => {
    const deadline = clock.deadline((ask.slow ? slowMs : answerMs) + (ask.extraMs ?? 0));
    const all = anySignal(signal, deadline);
    try {
      return await readBody(await open(ask, { signal: all }));
    } catch (error) {
      signal?.throwIfAborted();
      throw asCroftError(error, 'unavailable', `${ask.method} ${ask.path.split('?')[0]} on the buildlet`);
    }
  };

  return {
    open,
    text,
    async json(ask, waits) {
      const body = await text(ask, waits);
      try {
        return JSON.parse(body) as unknown;
      } catch (error) {
        throw new CroftError('unavailable', `${ask.method} ${ask.path} on the buildlet: its answer is not JSON`, { cause: error });
      }
    },
  };
}

interface Upload {
  readonly done: Promise<void>;
  /** Why the body could not be read or sent. */
  readonly failure: unknown;
  /** Stops it if it still goes on: the buildlet has refused it. */
  end(): Promise<void>;
}

/** A body that cannot be read ends the request; its own failure is the one that counts then. */
function startUpload(body: AsyncIterable<Uint8Array>, sent: ClientRequest): Upload {
  const ending = new AbortController();
  let failure: unknown;
  const done = pipeline(Readable.from(body, { objectMode: false }), sent, { signal: ending.signal }).catch((error: unknown) => {
    if (ending.signal.aborted) return;
    failure = error;
    sent.destroy();
  });
  return {
    done,
    get failure() {
      return failure;
    },
    async end() {
      ending.abort();
      await done;
    },
  };
}

async function readBody(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBodyBytes) throw new CroftError('exhausted', `the buildlet's answer is longer than ${maxBodyBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function refusal(answer: IncomingMessage, doing: string): Promise<CroftError> {
  const status = answer.statusCode ?? 500;
  const fields = { status };
  let body = '';
  try {
    body = await readBody(answer);
    const parsed = errorBodySchema.safeParse(JSON.parse(body));
    if (parsed.success) return new CroftError(parsed.data.code, `${doing}: ${parsed.data.message}`, { hint: parsed.data.hint, fields });
  } catch (error) {
    if (isCode(error, 'exhausted')) return error;
  }
  return new CroftError(codeOfStatus(status), `${doing}: ${status} ${body.slice(0, 500).trim()}`, { fields });
}
