/** Addresses as flags give them. */
import { isIPv4 } from 'node:net';
import type * as z from 'zod';

export type ListenAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** `unix:/path` or `host:port`; no host is `anyHost`. */
export function parseListen(text: string, anyHost: string): ListenAddress | undefined {
  if (/^unix:\/./.test(text)) return { kind: 'unix', path: text.slice('unix:'.length) };
  const place = parseHostPort(text);
  return place && { kind: 'tcp', host: place.host || anyHost, port: place.port };
}

/** `host:port` or `[v6]:port`; undefined for anything else. */
export function parseHostPort(text: string): { readonly host: string; readonly port: number } | undefined {
  const [, host = '', port = ''] = /^([^:[\]/\s]*|\[[0-9a-fA-F:.]+\]):(\d{1,5})$/.exec(text) ?? [];
  if (port === '' || Number(port) > 65_535) return undefined;
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) };
}

export function shownAddress(address: ListenAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}

export function isLoopback(address: string): boolean {
  const plain = address.replace(/^::ffff:/, '');
  return address === '::1' || plain === 'localhost' || (isIPv4(plain) && plain.startsWith('127.'));
}

/** A step of a schema: what `parse` does not take is told as `message`. */
export const parsedAs =
  <T>(parse: (text: string) => T | undefined, message: string) =>
  (text: string, context: z.RefinementCtx): T => {
    const value = parse(text);
    if (value === undefined) context.addIssue({ code: 'custom', message });
    return value as T; // an issue ends the schema: nobody sees undefined
  };
