/**
 * Stands before everything else: any web page can make a browser send requests to this server, also to a loopback address and
 * also under a name of its own that it rebinds to us. So the Host must be one of ours, and whatever comes from a page must come
 * from a page of ours; the one exception is following a link to a page.
 */
import { CroftError } from '@croft/runtime/errors';
import { isLoopbackHost } from './safe-address.ts';
import type { Connection } from './connection.ts';

export interface GuardOptions {
  /** Names beside the loopback ones under which this server is known. */
  readonly publicNames: readonly string[];
  /** Where browsers find it when a proxy is in front, `https://farm.example`. */
  readonly publicOrigin?: string | undefined;
  /** Tells whether a request carries a secret that no page knows, and is carried out for that secret alone: a form may do so. */
  readonly proves?: ((url: URL) => boolean) | undefined;
}

/**
 * The origin under which this request reached us, `http://127.0.0.1:8010`.
 * @throws CroftError `forbidden` for a request that must not be served at all
 */
export function guard(request: Request, connection: Connection, options: GuardOptions): string {
  const url = new URL(request.url);
  checkHost(url, request.headers.get('host'), connection, options);
  const own = options.publicOrigin ?? url.origin;
  const writes = !['GET', 'HEAD'].includes(request.method);
  const origin = request.headers.get('origin');
  const site = request.headers.get('sec-fetch-site');
  const foreign = (origin !== null && origin !== own && origin !== url.origin) || site === 'cross-site' || site === 'same-site';
  if (foreign && (writes || !followsLink(request))) {
    throw new CroftError('forbidden', `this request comes from another page (${origin ?? site}) and was not carried out`, {
      hint: 'Open the farm’s own page, or use the API with a token from a program.',
    });
  }
  if (writes && origin === null && site === null && isFormType(request) && options.proves?.(url) !== true) {
    throw new CroftError('forbidden', 'a form must come from a page of this farm and say so (Origin)', {
      hint: 'Programs send JSON to /api/v1 instead.',
    });
  }
  return own;
}

function checkHost(
  { hostname, host }: URL,
  header: string | null,
  connection: Connection,
  { publicNames, publicOrigin }: GuardOptions,
): void {
  const literal = hostname.replace(/^\[|\]$/g, '');
  const ours =
    isLoopbackHost(hostname) ||
    literal === connection.localAddress ||
    publicNames.some((name) => name.toLowerCase() === hostname) ||
    (publicOrigin !== undefined && new URL(publicOrigin).hostname === hostname);
  // The request line may carry a whole address beside the header.
  const agrees = header === null || URL.parse(`http://${header}`)?.hostname === hostname;
  if (ours && agrees) return;
  throw new CroftError('forbidden', `this server is not called "${host.slice(0, 100)}"`, {
    hint: 'Use the address that the farm prints, or add the name to its public names.',
  });
}

/** A link, a typed address, a bookmark: a whole page in a tab of its own. */
function followsLink({ headers }: Request): boolean {
  return headers.get('sec-fetch-mode') === 'navigate' && headers.get('sec-fetch-dest') === 'document' && headers.get('origin') === null;
}

/** What a form of any page can send without being asked for permission first. */
function isFormType({ headers }: Request): boolean {
  return /^\s*(application\/x-www-form-urlencoded|multipart\/form-data|text\/plain)/i.test(headers.get('content-type') ?? '');
}
