/**
 * SFTP, version 3, over a raw connection: each request is carried out and answered before the next one is looked at, so answers come in the
 * order asked, which scp relies on, and what is under way is one packet. @see docs/protocols/runs.md#files-by-sftp
 */
import fs from 'node:fs';
import type { Duplex } from 'node:stream';
import { extensions, maxContentBytes, toldExtensions } from './extensions.ts';
import { createHandles } from './handles.ts';
import { packetsOf } from './packets.ts';
import { createPlaces } from './places.ts';
import { requests, type Session } from './requests.ts';
import { kinds, offsetOf, packet, readFields, StatusError, statuses, statusPacket, type Fields, type Status } from './wire.ts';

export interface SftpOptions {
  /** Where relative paths begin. */
  readonly dir: string;
  /** Epoch ms. */
  now(): number;
}

const version = 3;
/** Kind and number of a request. */
const headBytes = 5;
/** Length, kind, number and length of the content of a DATA packet. */
const dataHeadBytes = 13;
/** Of DATA packets under way to the client. */
const buffers = 4;

/** Resolves when the client has left, or has sent what is no packet; every file is closed then. */
export async function serveSftp(socket: Duplex, { dir, now }: SftpOptions): Promise<void> {
  await using handles = createHandles();
  const session: Session = { handles, places: createPlaces(dir), now };
  const packets = packetsOf(socket);
  const first = await packets.next();
  if (first.done || first.value[0] !== kinds.init) return;
  const out = createOutput(socket);
  await out.send(packet(kinds.version, version, ...toldExtensions));
  for await (const bytes of packets) {
    if (bytes.length < headBytes) return; // nobody could be answered
    const [kind = 0, id] = [bytes[0], bytes.readUInt32BE(1)];
    const fields = readFields(bytes, headBytes);
    if (kind === kinds.read) await out.send(await read(id, fields, { session, out }));
    else await out.send(await answer({ kind, id, fields }, session));
    if (socket.destroyed) return;
  }
  socket.end();
}

interface Asked {
  readonly kind: number;
  readonly id: number;
  readonly fields: Fields;
}

async function answer({ kind, id, fields }: Asked, session: Session): Promise<Buffer> {
  try {
    const request = kind === kinds.extended ? extensions.get(fields.bytes().toString('latin1')) : requests.get(kind);
    if (!request) return statusPacket(id, statuses.unsupported, 'unknown request');
    const reply = await request(fields, session);
    return reply ? packet(reply.kind, id, ...reply.fields) : statusPacket(id, statuses.ok, '');
  } catch (error) {
    return failure(id, error);
  }
}

/** To where it is sent from, in the loop's own thread: a trip to another one and back takes longer than reading does, as a rule. */
async function read(id: number, fields: Fields, { session, out }: { session: Session; out: Output }): Promise<Buffer> {
  const buffer = await out.buffer();
  try {
    const { fd } = session.handles.file(fields.bytes());
    const from = offsetOf(fields.u64());
    const length = Math.min(fields.u32(), maxContentBytes);
    const bytesRead = fs.readSync(fd, buffer, dataHeadBytes, length, from);
    if (bytesRead === 0) throw new StatusError(statuses.eof, 'end of the file');
    buffer.writeUInt32BE(dataHeadBytes - 4 + bytesRead, 0);
    buffer.writeUInt8(kinds.data, 4);
    buffer.writeUInt32BE(id, 5);
    buffer.writeUInt32BE(bytesRead, 9);
    return buffer.subarray(0, dataHeadBytes + bytesRead);
  } catch (error) {
    out.giveBack(buffer);
    return failure(id, error);
  }
}

interface Output {
  /** Waits while the client does not read. */
  send(bytes: Buffer): Promise<void>;
  /** To be sent, or given back. Waits until one of a few is free. */
  buffer(): Promise<Buffer>;
  giveBack(buffer: Buffer): void;
}

function createOutput(socket: Duplex): Output {
  const free: Buffer[] = [];
  let made = 0;
  let wake = Promise.withResolvers<void>();
  const ring = (): void => {
    wake.resolve();
    wake = Promise.withResolvers();
  };
  socket.on('drain', ring).on('close', ring);
  const giveBack = ({ buffer }: Buffer): void => {
    free.push(Buffer.from(buffer));
    ring();
  };
  const isOurs = ({ byteOffset, buffer }: Buffer): boolean => byteOffset === 0 && buffer.byteLength === dataHeadBytes + maxContentBytes;
  return {
    giveBack,
    async buffer() {
      if (free.length === 0 && made < buffers) {
        made += 1;
        return Buffer.allocUnsafeSlow(dataHeadBytes + maxContentBytes);
      }
      while (free.length === 0 && !socket.destroyed) await wake.promise;
      return free.pop() ?? Buffer.allocUnsafeSlow(dataHeadBytes + maxContentBytes);
    },
    async send(bytes) {
      const hasRoom = socket.write(bytes, () => isOurs(bytes) && giveBack(bytes));
      while (!hasRoom && socket.writableNeedDrain && !socket.destroyed) await wake.promise;
    },
  };
}

const ofSystem: Readonly<Record<string, Status>> = {
  ENOENT: statuses.noSuchFile,
  ENOTDIR: statuses.noSuchFile,
  ELOOP: statuses.noSuchFile,
  EPERM: statuses.denied,
  EACCES: statuses.denied,
  EROFS: statuses.denied,
  EINVAL: statuses.badMessage,
  ENAMETOOLONG: statuses.badMessage,
  ERR_INVALID_ARG_VALUE: statuses.badMessage, // a NUL in a path
  ENOSYS: statuses.unsupported,
  ENOTSUP: statuses.unsupported,
};

function failure(id: number, error: unknown): Buffer {
  if (error instanceof StatusError) return statusPacket(id, error.status, error.message);
  const { code = '', message } = error as NodeJS.ErrnoException;
  const said = /^[A-Z0-9]+: ([^,]*)/.exec(message)?.[1] ?? 'failed';
  return statusPacket(id, ofSystem[code] ?? statuses.failure, said);
}
