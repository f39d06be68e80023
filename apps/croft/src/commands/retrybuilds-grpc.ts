/** One call of `protos.Coordinator/ClearResults` (coordinator.md RET-6): two texts there, a status back. */
import { once } from 'node:events';
import { connect, type IncomingHttpHeaders } from 'node:http2';
import type { Waits } from '@croft/runtime/clock';
import { CroftError, errorText, type ErrorCode } from '@croft/runtime/errors';
import { isLoopbackHost } from '@croft/web/safe-address';
import type { Cleared } from './retrybuilds-farm.ts';

export interface Clearing {
  /** `host:port`, over TLS; or `http://127.0.0.1:8119`. */
  readonly host: string;
  readonly builder: string;
  readonly hash: string;
  readonly key: string;
  /** What is being done, for a failure's text. */
  readonly doing: string;
}

/** @throws CroftError with what the status says */
export async function clearByGrpc({ host, builder, hash, key, doing }: Clearing, { signal }: Waits): Promise<Cleared> {
  const session = connect(addressOf(host));
  const failed = new Promise<never>((_, reject) => session.on('error', reject));
  try {
    const call = session.request({
      ':method': 'POST',
      ':path': '/protos.Coordinator/ClearResults',
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': '60S',
      'coordinator-authorization': `builder ${key}`,
    });
    call.on('error', () => undefined); // whoever waits for its answer is told; when nobody does any more, its end is one
    const status = statusOf(call, { signal });
    call.end(frame(Buffer.concat([field(1, builder), field(2, hash)])));
    const { code, message } = await Promise.race([status, failed]);
    if (code === 0) return 'done';
    if (code === 10) return 'busy';
    if (code === 4) return 'late';
    throw new CroftError(codes[code] ?? 'conflict', `${doing}: ${message || `gRPC status ${code}`}`.slice(0, 600));
  } catch (error) {
    if (signal?.aborted) return 'late';
    if (error instanceof CroftError) throw error;
    throw new CroftError('unavailable', `${doing} through ${host}: ${errorText(error)}`, { hint: 'Is --grpc-host the address of a farm?' });
  } finally {
    session.destroy();
  }
}

function addressOf(host: string): URL {
  const url = URL.parse(host.includes('://') ? host : `https://${host}`);
  if (!url || (url.protocol === 'http:' && !isLoopbackHost(url.hostname)))
    throw new CroftError('invalid', `--grpc-host ${host}: no key is sent there`, { hint: 'Write HOST:PORT of a farm with TLS.' });
  return url;
}

async function statusOf(
  call: ReturnType<ReturnType<typeof connect>['request']>,
  { signal }: Waits,
): Promise<{ code: number; message: string }> {
  let trailers: IncomingHttpHeaders = {};
  call.on('trailers', (given: IncomingHttpHeaders) => (trailers = given));
  const [head] = (await once(call, 'response', signal ? { signal } : {})) as [IncomingHttpHeaders & { ':status'?: number }];
  call.resume();
  await once(call, 'end', signal ? { signal } : {});
  const said = head['grpc-status'] === undefined ? trailers : head;
  if (said['grpc-status'] === undefined) throw new Error(`HTTP status ${head[':status']}, and nothing of gRPC`);
  return { code: Number(said['grpc-status']), message: decodeURIComponent(String(said['grpc-message'] ?? '')) };
}

const codes: Readonly<Record<number, ErrorCode>> = {
  3: 'invalid',
  5: 'not-found',
  7: 'forbidden',
  8: 'exhausted',
  13: 'internal',
  14: 'unavailable',
  16: 'unauthenticated',
};

function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** @throws CroftError `invalid` for what no builder and no hash is */
function field(number: number, text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length > 127) throw new CroftError('invalid', `"${text.slice(0, 40)}…" is too long`);
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
}
