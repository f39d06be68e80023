/**
 * What the farm offers: its manifest and files, over connections as the buildlet makes them to its coordinator: TLS that is verified, through
 * a proxy where that is the way. No redirect is followed, and nothing is read beyond what was announced.
 */
import { createWriteStream } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { manifestSchema, type DistributedFile, type Manifest } from '@croft/protocol/distribution';
import { anySignal, MINUTE, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { request as httpRequest } from '@croft/runtime/node-http';
import { dialCoordinator, type Trust } from '../reverse/dial.ts';

export interface Offers {
  /** @throws CroftError `unavailable` when nobody answers, `invalid` when the answer is no manifest */
  manifest(waits: Waits): Promise<Manifest>;
  /** Written to `path`; whether it is the right file is for the caller to see. */
  file(file: DistributedFile, path: string, waits: Waits): Promise<void>;
}

export interface OfferOptions {
  /** Where `manifest.json` lies, with a slash at the end. */
  readonly from: URL;
  /** PEM of the only authority that counts; the system's when absent. */
  readonly ca: string | undefined;
  readonly proxies: Trust['proxies'];
  readonly clock: Clock;
}

const manifestWithinMs = 20 * SECOND;
const fileWithinMs = 10 * MINUTE;
const maxManifestBytes = 256 * 1024;

export function createOffers(options: OfferOptions): Offers {
  const { from, clock } = options;
  const get = (name: string, limitMs: number, { signal }: Waits): Promise<IncomingMessage> =>
    ask(new URL(name, from), options, anySignal(signal, clock.deadline(limitMs)));
  return {
    async manifest(waits) {
      const text = await read(await get('manifest.json', manifestWithinMs, waits));
      const parsed = manifestSchema.safeParse(parseJson(text));
      if (parsed.success) return parsed.data;
      throw new CroftError('invalid', `read ${new URL('manifest.json', from)}: it is no manifest that this supervisor knows`, {
        hint: 'A farm that is much newer needs a newer supervisor: run its start script anew.',
      });
    },
    async file({ name, size }, path, waits) {
      const response = await get(name, fileWithinMs, waits);
      await pipeline(response, atMost(size), createWriteStream(path));
    },
  };
}

async function ask(url: URL, { ca, proxies, clock }: OfferOptions, signal: AbortSignal): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  try {
    const place = { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 443) };
    const trust = { coordinator: place, ca, insecureDev: false, proxies };
    const socket = url.protocol === 'https:' ? await dialCoordinator(trust, clock, { signal }) : undefined;
    const connection = socket ? { createConnection: () => socket } : { agent: false as const };
    const headers = { host: url.host, 'accept-encoding': 'identity', connection: 'close' };
    const { hostname, port, pathname: path } = url;
    const request = httpRequest({ ...connection, hostname, port, path, headers, signal });
    request.on('response', resolve).on('error', reject).end();
    const response = await promise;
    if (response.statusCode === 200) return response;
    response.destroy();
    throw new Error(`the answer has status ${response.statusCode}`);
  } catch (cause) {
    throw new CroftError('unavailable', `fetch ${url}`, { cause });
  }
}

async function read(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of atMost(maxManifestBytes)(response)) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

/** @throws CroftError `invalid` at the first byte beyond */
function atMost(limit: number) {
  return async function* limited(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let length = 0;
    for await (const piece of source) {
      length += piece.length;
      if (length > limit) throw new CroftError('invalid', `an answer has more than the ${limit} bytes that were announced`);
      yield piece;
    }
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
