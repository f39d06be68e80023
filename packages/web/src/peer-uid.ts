/**
 * Whose process holds the other end of a loopback connection, from Linux's socket tables. Each end is a line of its own; the
 * peer's line has our address as its remote one. Only a line that is ESTABLISHED and belongs to an open file counts: sockets
 * that were closed already are listed as owned by root.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { endianness } from 'node:os';
import type { Connection } from './connection.ts';

export type PeerUid = (connection: Connection) => Promise<number | undefined>;

const tables = ['/proc/net/tcp', '/proc/net/tcp6'] as const;

/** Undefined where the system does not tell. */
export function createPeerUid(): PeerUid | undefined {
  return existsSync(tables[0])
    ? peerUidFrom(async () => Promise.all(tables.map((path) => readFile(path, 'latin1').catch(() => ''))))
    : undefined;
}

export function peerUidFrom(readTables: () => Promise<string[]>): PeerUid {
  const known = new WeakMap<Connection, Promise<number | undefined>>();
  return (connection) => {
    let uid = known.get(connection);
    if (!uid) known.set(connection, (uid = lookUp(connection, readTables)));
    return uid;
  };
}

/** A table that changes while it is read may skip a line, hence a few tries. */
async function lookUp(connection: Connection, readTables: () => Promise<string[]>): Promise<number | undefined> {
  const heads = peerLines(connection);
  for (let tries = 0; tries < 3; tries += 1) {
    for (const table of await readTables()) {
      for (const head of heads) {
        const uid = uidOfLine(table, head);
        if (uid !== undefined) return uid;
      }
    }
  }
  return undefined;
}

function uidOfLine(table: string, head: string): number | undefined {
  const from = table.indexOf(head);
  if (from < 0) return undefined;
  const [, , , , , uid, , inode] = table.slice(from + head.length - established.length, from + head.length + 120).split(/\s+/);
  return inode === '0' || uid === undefined ? undefined : Number(uid);
}

const established = ' 01 ';

/** How the peer's line reads from its address to its state; an IPv4 peer may use an IPv6 socket. */
function peerLines({ remoteAddress, remotePort, localAddress, localPort }: Connection): string[] {
  const port = (value: number): string => value.toString(16).toUpperCase().padStart(4, '0');
  const line = (shape: (address: string) => Buffer): string =>
    ` ${tableForm(shape(remoteAddress))}:${port(remotePort)} ${tableForm(shape(localAddress))}:${port(localPort)}${established}`;
  if (isIPv4(remoteAddress) && isIPv4(localAddress)) return [line(ipv4), line((address) => Buffer.concat([mappedPrefix, ipv4(address)]))];
  return [line(ipv6)];
}

const mappedPrefix = Buffer.from('00000000000000000000ffff', 'hex');

function ipv4(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

function ipv6(address: string): Buffer {
  const [head = '', tail = ''] = address.split('::');
  const groups = (text: string): number[] =>
    text
      .split(':')
      .filter(Boolean)
      .map((group) => Number.parseInt(group, 16));
  const words = [...groups(head), ...Array<number>(Math.max(0, 8 - groups(head).length - groups(tail).length)).fill(0), ...groups(tail)];
  return Buffer.from(words.flatMap((word) => [word >> 8, word & 255]));
}

/** The table prints an address as 32-bit words in the machine's own byte order. */
function tableForm(address: Buffer): string {
  return (endianness() === 'LE' ? Buffer.from(address).swap32() : address).toString('hex').toUpperCase();
}
