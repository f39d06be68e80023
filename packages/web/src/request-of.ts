/** The request of a raw handler as the gates see it: they take a `Request`, whoever answers. */
import { CroftError } from '@croft/runtime/errors';
import type { Connection } from './connection.ts';
import type { Incoming } from './listener.ts';

/** Without its body. @throws CroftError `invalid` for an address that is none */
export function requestOf({ headers, method = 'GET', url = '/' }: Incoming, { encrypted }: Connection): Request {
  const address = URL.parse(url, `${encrypted ? 'https' : 'http'}://${headers.host ?? ''}`);
  if (!address || address.username !== '' || address.password !== '')
    throw new CroftError('invalid', 'this request cannot be understood: its address or its Host header is malformed');
  const given = Object.entries(headers).filter(([name]) => !name.startsWith(':'));
  return new Request(address, { method, headers: given.map(([name, value = '']) => [name, [value].flat().join(', ')]) });
}
