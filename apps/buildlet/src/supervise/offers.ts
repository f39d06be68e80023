/**
 * What the farm offers: its manifest and files, over HTTPS that is verified against the system's authorities or one that is named. No
 * redirect is followed, and nothing is read beyond what was announced.
 */
import { createWriteStream } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { pipeline } from 'node:stream/promises';
import { manifestSchema, type DistributedFile, type Manifest } from '@croft/protocol/distribution';
import { anySignal, MINUTE, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';

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
  readonly clock: Clock;
}

const manifestWithinMs = 20 * SECOND;
const fileWithinMs = 10 * MINUTE;
const maxManifestBytes = 256 * 1024;

export function createOffers({ from, ca, clock }: OfferOptions): Offers {
  const get = (name: string, limitMs: number, { signal }: Waits): Promise<IncomingMessage> =>
    ask(new URL(name, from), { ca, signal: anySignal(signal, clock.deadline(limitMs)) });
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

async function ask(url: URL, { ca, signal }: { ca: string | undefined; signal: AbortSignal }): Promise<IncomingMessage> {
  const options = { signal, agent: false, headers: { 'accept-encoding': 'identity' } } as const;
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const request = url.protocol === 'https:' ? httpsRequest(url, { ...options, ca }) : httpRequest(url, options);
  request.on('response', resolve).on('error', reject).end();
  try {
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
