/**
 * What the library does but does not offer. It is pinned, and each of these is tried by a test of the door: the offer of ciphers to one client,
 * a goodbye told from a lost connection, agent channels, waiting for a channel's window, taking in what comes, encrypting and decrypting.
 */
import type { CipherGCMTypes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Connection, ServerChannel } from 'ssh2';
import { freeWhole } from '@croft/streams/release';
import { createGcmCipher, type PacketCipher } from './gcm-cipher.ts';
import { createGcmDecipher, type PacketDecipher } from './gcm-decipher.ts';

interface Offer {
  readonly lists: { readonly kex: { readonly array: readonly string[] } } & {
    readonly cs: Readonly<Record<'compress', { readonly array: readonly string[] }>>;
  };
}

interface InsideConnection {
  readonly _sock: Socket;
  readonly _chanMgr: { add(opened: unknown): number };
  readonly _protocol: {
    _offer: Offer;
    /** While keys are exchanged. */
    readonly _kexinit: Buffer | undefined;
    _cipher: PacketCipher | LibraryGcm;
    _decipher: PacketDecipher | LibraryGcmDecipher;
    readonly _handlers: { DISCONNECT(...told: unknown[]): void };
    openssh_authAgent(channel: number, window: number, packet: number): void;
  };
}

interface LibraryGcm extends PacketCipher {
  readonly _encSSLName: CipherGCMTypes;
  readonly _encKey: Buffer;
  readonly _encIV: Buffer;
}

interface LibraryGcmDecipher extends PacketDecipher {
  readonly _decipherSSLName: CipherGCMTypes;
  readonly _decipherKey: Buffer;
  readonly _decipherIV: Buffer;
  /** Of the length of a packet that has begun to come. */
  readonly _lenBytes: number;
}

interface InsideChannel {
  readonly _client: Connection;
  readonly incoming: { readonly window: number };
  push(data: Buffer | null): boolean;
  _read(): void;
  readonly outgoing: { readonly window: number; readonly state: string };
  _waitWindow: boolean;
  _chunkcb: (() => void) | undefined;
}

const windowBytes = 2 * 1024 * 1024;
const packetBytes = 32 * 1024;

function inside(connection: Connection): InsideConnection {
  return connection as unknown as InsideConnection;
}

export function socketOf(connection: Connection): Socket {
  return inside(connection)._sock;
}

export interface Offered {
  readonly hostKeys: readonly string[];
  readonly ciphers: readonly string[];
  /** Message authentication codes. */
  readonly codes: readonly string[];
}

/** For a client whose version is known and nothing else yet: only these, of what would be offered to all. The library adds `ssh-rsa`, which is SHA-1. */
export function offerOnly(connection: Connection, { hostKeys, ciphers, codes }: Offered): void {
  const protocol = inside(connection)._protocol;
  const { lists } = protocol._offer;
  const ways = { cipher: ciphers, mac: codes, compress: lists.cs.compress.array, lang: [] };
  const KexInit = protocol._offer.constructor as new (wanted: object) => Offer;
  protocol._offer = new KexInit({ kex: lists.kex.array, serverHostKey: hostKeys, cs: ways, sc: ways });
}

/** Has what is sent from now on encrypted by our own cipher, where that is AES-GCM; to be called again once keys may have changed. */
export function encryptOurselves(connection: Connection): void {
  const protocol = inside(connection)._protocol;
  const theirs = protocol._cipher;
  if (!('_encSSLName' in theirs && theirs._encSSLName.endsWith('-gcm')) || protocol._kexinit) return;
  const socket = socketOf(connection);
  protocol._cipher = createGcmCipher({
    algorithm: theirs._encSSLName,
    key: theirs._encKey,
    iv: theirs._encIV,
    outSeqno: theirs.outSeqno,
    isWaiting: () => protocol._kexinit !== undefined,
    write: (bytes, done) => void (socket.writable && socket.write(bytes, done)),
  });
}

/** Whether what the packet that is being read carries was copied, and is of no use any more. */
const taken = { isCopied: false };

/** Has what comes from now on decrypted by our own decipher, where that is AES-GCM. */
export function decryptOurselves(connection: Connection): void {
  const protocol = inside(connection)._protocol;
  let ours: PacketDecipher | undefined;
  const changeOver = (): void => {
    const theirs = protocol._decipher;
    if (theirs === ours || !('_decipherSSLName' in theirs && theirs._decipherSSLName.endsWith('-gcm')) || theirs._lenBytes > 0) return;
    ours = createGcmDecipher({
      algorithm: theirs._decipherSSLName,
      key: theirs._decipherKey,
      iv: theirs._decipherIV,
      inSeqno: theirs.inSeqno,
      onPayload: theirs._onPayload,
      taken,
    });
    protocol._decipher = ours;
  };
  socketOf(connection).prependListener('data', changeOver); // with each new key there is a new one of theirs
  socketOf(connection).on('data', (chunk: Buffer) => {
    if (protocol._decipher === ours) freeWhole(chunk); // the library has read it before us, and our decipher keeps nothing of it
  });
}

/** Has what comes on a channel given to `take` from now on, which copies it; it may be there already. Only its end goes to the channel’s own stream. */
export function takeIn(channel: ServerChannel, take: (data: Buffer) => void): { widen(): void } {
  const one = channel as unknown as InsideChannel;
  const { push } = one;
  for (let piece = channel.read() as Buffer | null; piece; piece = channel.read() as Buffer | null) take(piece);
  one.push = (data) => {
    if (data === null) return push.call(one, null);
    if (one.incoming.window < 0) socketOf(one._client).destroy(); // nobody may send more than was asked for
    take(data);
    taken.isCopied = true;
    return false; // the window is widened when it was taken on
  };
  return { widen: () => one._read() };
}

/** When the client says that it leaves, before its connection ends. */
export function onGoodbye(connection: Connection, act: () => void): void {
  const handlers = inside(connection)._protocol._handlers;
  const handle = handlers.DISCONNECT;
  handlers.DISCONNECT = (...told) => {
    act();
    handle(...told);
  };
}

/** A channel to the agent of the client's user. Rejects when the client does not open one. */
export function openAgentChannel(connection: Connection): Promise<ServerChannel> {
  const { promise, resolve, reject } = Promise.withResolvers<ServerChannel>();
  const opened = Object.assign((error: Error | undefined, channel: ServerChannel) => (error ? reject(error) : resolve(channel)), {
    type: 'auth-agent@openssh.com',
  });
  const id = inside(connection)._chanMgr.add(opened);
  inside(connection)._protocol.openssh_authAgent(id, windowBytes, packetBytes);
  return promise;
}

/** How much the client takes on this channel now; 0 also when it is closed. */
export function windowOf(channel: ServerChannel): number {
  const { outgoing } = channel as unknown as InsideChannel;
  return outgoing.state === 'open' ? outgoing.window : 0;
}

/** Calls once when the client takes more. What was written must have fit: the library sends what did not fit twice, where both streams wait. */
export function onWindow(channel: ServerChannel, act: () => void): void {
  const one = channel as unknown as InsideChannel;
  one._chunkcb = () => {
    one._chunkcb = undefined;
    act();
  };
  one._waitWindow = true;
}
