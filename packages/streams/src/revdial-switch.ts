/**
 * A connection that was HTTP/1 for one exchange: the request is written, 101 is awaited, and then the connection is raw. By hand,
 * because Go's coordinator answers `HTTP/0.0 101` without an Upgrade header, which Node's client refuses. See docs/protocols/revdial.md.
 */
import type { Duplex } from 'node:stream';
import type { Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';

/** The head of an answer, and how much of a refusal's body is shown, bytes. */
const maxHeadBytes = 16_384;
const maxBodyBytes = 2_048;
/** The request and one that it is redirected to. */
const maxRequests = 2;

export interface SwitchRequest {
  /** Path and query. */
  readonly path: string;
  /** Sent in this order after an empty `Host`, as Go's buildlet does, unless a `Host` is among them. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** The headers of the 101, by name in lower case. */
export type SwitchAnswer = ReadonlyMap<string, string>;

/**
 * Asks on a fresh connection and resolves when it is raw, paused; what came behind the answer's head is put back. Follows one
 * redirect on the same connection. After a failure the connection is destroyed.
 * @throws CroftError `unavailable` with the status and the body of what was answered instead.
 */
export async function requestSwitch(socket: Duplex, request: SwitchRequest, waits: Waits): Promise<SwitchAnswer> {
  const input = new HeadInput(socket, waits);
  try {
    let { path } = request;
    for (let tries = 0; tries < maxRequests; tries += 1) {
      socket.write(headOf({ ...request, path }));
      const { status, statusText, headers } = parseHead(await input.head());
      if (status === 101) return headers;
      const body = await input.body(headers, status === 307);
      if (status !== 307) {
        const text = `want HTTP status 101 or 307; got ${status} ${statusText}:\n\t${body.toString()}`;
        throw new CroftError('unavailable', `switch failed: ${text}`, { fields: { status } });
      }
      path = redirectOf(headers.get('location') ?? '');
    }
    throw new CroftError('unavailable', 'switch failed: too many redirects');
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    input.release();
  }
}

function headOf({ path, headers = {} }: SwitchRequest): string {
  const named = Object.entries(headers);
  const host = named.some(([name]) => name.toLowerCase() === 'host') ? [] : [['Host', ''] as const];
  const lines = [`GET ${path} HTTP/1.1`, ...[...host, ...named].map(([name, value]) => `${name}: ${value}`)];
  const bad = lines.find((line) => /[\u0000-\u001f\u007f]/.test(line)) ?? (/[ ]/.test(path) ? path : undefined);
  if (bad !== undefined) throw new CroftError('invalid', `a request head cannot hold ${JSON.stringify(bad.slice(0, 200))}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

interface Head {
  readonly status: number;
  readonly statusText: string;
  readonly headers: ReadonlyMap<string, string>;
}

/** Any version will do: Go's coordinator says HTTP/0.0. */
export function parseHead(text: string): Head {
  const [first = '', ...lines] = text.split('\r\n');
  const [, status = '', statusText = ''] = /^HTTP\/[0-9]\.[0-9] ([0-9]{3})(?: (.*))?$/.exec(first) ?? [];
  if (status === '') throw new CroftError('unavailable', `switch failed: the answer is not HTTP: ${JSON.stringify(first.slice(0, 100))}`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return { status: Number(status), statusText, headers };
}

/** A redirect must stay on the connection that it came on. */
function redirectOf(location: string): string {
  if (!location.startsWith('/') || location.startsWith('//')) {
    throw new CroftError(
      'unavailable',
      `switch failed: redirected to ${JSON.stringify(location.slice(0, 200))}, want a path on the same host`,
    );
  }
  return location;
}

/** Bytes of a socket, pulled; what is left is put back once, at release. */
class HeadInput {
  readonly #socket: Duplex;
  readonly #waits: Waits;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(socket: Duplex, waits: Waits) {
    this.#socket = socket;
    this.#waits = waits;
    socket.on('error', ignore);
  }

  /** A socket that was destroyed keeps the listener: nobody else has one for an error that is on its way. */
  release(): void {
    if (this.#socket.destroyed) return;
    this.#socket.off('error', ignore);
    if (this.#bytes.length > 0) this.#socket.unshift(this.#bytes);
  }

  async head(): Promise<string> {
    for (;;) {
      const end = this.#bytes.indexOf('\r\n\r\n');
      if (end >= 0 && end <= maxHeadBytes) return this.#take(end + 4).toString('latin1', 0, end);
      if (this.#bytes.length > maxHeadBytes) throw new CroftError('unavailable', 'switch failed: the answer has a head without end');
      if (!(await this.#more())) throw new CroftError('unavailable', 'switch failed: the connection ended before an answer');
    }
  }

  /** At most what is shown of it; all of it when the next answer comes behind. */
  async body(headers: ReadonlyMap<string, string>, whole: boolean): Promise<Buffer> {
    if (/chunked/i.test(headers.get('transfer-encoding') ?? '')) return this.#chunked();
    const length = headers.get('content-length') ?? (whole ? '0' : String(maxBodyBytes));
    const wanted = Math.min(/^[0-9]+$/.test(length) ? Number(length) : 0, maxBodyBytes);
    if (whole && Number(length) !== wanted) throw new CroftError('unavailable', 'switch failed: a redirect with a long body');
    while (this.#bytes.length < wanted && (await this.#more()));
    return this.#take(Math.min(wanted, this.#bytes.length));
  }

  async #chunked(): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (let total = 0; total <= maxBodyBytes;) {
      const size = Number.parseInt(await this.#lineOf(), 16);
      if (!(size >= 0 && size <= maxBodyBytes)) break;
      while (this.#bytes.length < size + 2) if (!(await this.#more())) return Buffer.concat(pieces);
      pieces.push(this.#take(size));
      this.#take(2);
      if (size === 0) return Buffer.concat(pieces);
      total += size;
    }
    throw new CroftError('unavailable', 'switch failed: the answer has a body that is not understood');
  }

  async #lineOf(): Promise<string> {
    for (;;) {
      const end = this.#bytes.indexOf('\r\n');
      if (end >= 0) return this.#take(end + 2).toString('latin1', 0, end);
      if (this.#bytes.length > maxHeadBytes || !(await this.#more())) return '';
    }
  }

  #take(count: number): Buffer {
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  /** False at the end. */
  async #more(): Promise<boolean> {
    for (;;) {
      this.#waits.signal?.throwIfAborted();
      const piece = this.#socket.read() as Buffer | null;
      if (piece !== null) {
        this.#bytes = Buffer.concat([this.#bytes, piece]);
        return true;
      }
      if (this.#socket.readableEnded || this.#socket.destroyed || this.#socket.errored) return false;
      await this.#readable();
    }
  }

  async #readable(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = (): void => resolve();
    for (const event of wakers) this.#socket.once(event, wake);
    this.#waits.signal?.addEventListener('abort', wake, { once: true });
    await promise;
    for (const event of wakers) this.#socket.off(event, wake);
    this.#waits.signal?.removeEventListener('abort', wake);
  }
}

const wakers = ['readable', 'end', 'error', 'close'];

function ignore(): void {}
