/** The bytes behind an address, as they are: no content negotiation, so signed addresses of object stores work. buildlet.md 1.7. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';

const maxRedirects = 10;
/** How long a server may take to begin its answer. */
const headMs = 60 * SECOND;
/** Some servers answer nobody without a name. */
const headers = { 'User-Agent': 'croft-buildlet' };

interface FetchWaits {
  /** Ends the body as well. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** @throws CroftError `unavailable` when it cannot be had, `invalid` when it is no http address */
export async function fetchBody(url: string, { signal, clock }: FetchWaits): Promise<IncomingMessage> {
  let at = url;
  for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
    const response = await get(at, { signal, clock });
    const { statusCode = 0, headers } = response;
    if (statusCode === 200) return response;
    response.destroy();
    if (![301, 302, 303, 307, 308].includes(statusCode) || headers.location === undefined) {
      throw new CroftError('unavailable', `writetgz: fetching provided URL ${shown(url)}: ${statusCode} ${response.statusMessage ?? ''}`);
    }
    at = new URL(headers.location, at).href;
  }
  throw new CroftError('unavailable', `fetching URL ${shown(url)}: stopped after ${maxRedirects} redirects`);
}

async function get(url: string, { signal, clock }: FetchWaits): Promise<IncomingMessage> {
  const parsed = URL.parse(url);
  if (!parsed || !/^https?:$/.test(parsed.protocol)) throw new CroftError('invalid', `fetching URL ${shown(url)}: not an http address`);
  const { get: request } = parsed.protocol === 'https:' ? await import('node:https') : await import('node:http');
  const asked = request(parsed, { signal, agent: false, headers });
  try {
    const [response] = (await once(asked, 'response', { signal: clock.deadline(headMs) })) as [IncomingMessage];
    return response;
  } catch (error) {
    asked.on('error', () => undefined).destroy();
    signal.throwIfAborted();
    throw new CroftError('unavailable', `fetching URL ${shown(url)}: ${errorText(error)}`, { cause: error });
  }
}

/** Without what may be a signature or a password. */
function shown(url: string): string {
  const parsed = URL.parse(url);
  return parsed ? `"${parsed.origin}${parsed.pathname}"` : 'given';
}
