/**
 * What each request of SFTP does, and its reply. Paths and handles are the client's; the whole file system is open as it is to the commands of this
 * machine. draft-ietf-secsh-filexfer-02, and PROTOCOL of OpenSSH for what it does otherwise: SYMLINK takes the target first.
 */
import fs from 'node:fs';
import { link, lstat, mkdir, opendir, readlink, rename, rmdir, stat, symlink, unlink } from 'node:fs/promises';
import { promisify } from 'node:util';
import { systemCode } from '@croft/runtime/errors';
import { readAccounts } from '../files/accounts.ts';
import type { Handles } from './handles.ts';
import { longName } from './long-name.ts';
import type { Places } from './places.ts';
import { changeFile, changePath } from './set-attributes.ts';
import { attributesOf, kinds, noAttributes, offsetOf, StatusError, statuses, systemFlags, type Field, type Fields } from './wire.ts';

export interface Session {
  readonly handles: Handles;
  readonly places: Places;
  now(): number;
}

/** A reply without its number; none is success. */
export type Reply = { readonly kind: number; readonly fields: readonly Field[] } | void;

export type Request = (fields: Fields, session: Session) => Promise<Reply>;

const openFile = promisify(fs.open);
const statFile = promisify(fs.fstat) as (fd: number, options: { bigint: true }) => Promise<fs.BigIntStats>;

const defaultFileMode = 0o666;
const defaultDirectoryMode = 0o777;
const modeBits = 0o7777;
const inFull = { bigint: true } as const;
/** Told in one reply. */
const namesTogether = 100;

export const requests: ReadonlyMap<number, Request> = new Map<number, Request>([
  [kinds.open, open],
  [kinds.close, (fields, { handles }) => handles.close(fields.bytes())],
  [kinds.write, write],
  [kinds.lstat, async (fields, { places }) => told(await lstat(places.at(fields.bytes()), inFull))],
  [kinds.stat, async (fields, { places }) => told(await stat(places.at(fields.bytes()), inFull))],
  [kinds.fstat, async (fields, { handles }) => told(await statFile(handles.file(fields.bytes()).fd, inFull))],
  [kinds.setstat, async (fields, { places }) => changePath(places.at(fields.bytes()), fields.attributes())],
  [kinds.fsetstat, async (fields, { handles }) => changeFile(handles.file(fields.bytes()).fd, fields.attributes())],
  [kinds.opendir, openDirectory],
  [kinds.readdir, readDirectory],
  [kinds.remove, async (fields, { places }) => unlink(places.at(fields.bytes()))],
  [kinds.mkdir, makeDirectory],
  [kinds.rmdir, async (fields, { places }) => rmdir(places.at(fields.bytes()))],
  [kinds.realpath, async (fields, { places }) => named(await places.real(fields.bytes()))],
  [kinds.rename, moveWithoutReplacing],
  [kinds.readlink, async (fields, { places }) => named(await readlink(places.at(fields.bytes()), 'buffer'))],
  [kinds.symlink, makeLink],
]);

export function named(path: Buffer): Reply {
  return { kind: kinds.name, fields: [1, path, path, noAttributes] };
}

function told(stats: fs.BigIntStats): Reply {
  return { kind: kinds.attributes, fields: [attributesOf(stats)] };
}

async function open(fields: Fields, { handles, places }: Session): Promise<Reply> {
  const path = places.at(fields.bytes());
  const flags = systemFlags(fields.u32());
  const { mode = defaultFileMode } = fields.attributes();
  handles.checkRoom();
  const fd = await openFile(path, flags, mode & modeBits);
  return { kind: kinds.handle, fields: [handles.add({ kind: 'file', fd, path })] };
}

/** In the loop's own thread, as uploads are. */
async function write(fields: Fields, { handles }: Session): Promise<Reply> {
  const { fd } = handles.file(fields.bytes());
  const from = offsetOf(fields.u64());
  const content = fields.bytes();
  for (let at = 0; at < content.length;) at += fs.writeSync(fd, content, at, content.length - at, from + at);
  return undefined;
}

async function openDirectory(fields: Fields, { handles, places }: Session): Promise<Reply> {
  const path = places.at(fields.bytes());
  handles.checkRoom();
  const dir = await opendir(path as unknown as string, { encoding: 'buffer' as BufferEncoding, bufferSize: namesTogether });
  return { kind: kinds.handle, fields: [handles.add({ kind: 'directory', dir, path, told: 'nothing' })] };
}

async function readDirectory(fields: Fields, { handles, now }: Session): Promise<Reply> {
  const handle = handles.directory(fields.bytes());
  const names: Buffer[] = handle.told === 'nothing' ? [Buffer.from('.'), Buffer.from('..')] : [];
  if (handle.told === 'nothing') handle.told = 'dots';
  while (handle.told !== 'all' && names.length < namesTogether) {
    const entry = await handle.dir.read();
    if (entry) names.push(entry.name as unknown as Buffer);
    else handle.told = 'all';
  }
  const accounts = readAccounts();
  const found = await Promise.all(names.map((name) => entryOf(handle.path, name)));
  const entries = found.filter((entry) => entry !== undefined);
  if (entries.length === 0 && handle.told === 'all') throw new StatusError(statuses.eof, 'end of the directory');
  const told = entries.flatMap(({ name, stats }) => [name, longName({ name, stats, accounts, nowMs: now() }), attributesOf(stats)]);
  return { kind: kinds.name, fields: [entries.length, ...told] };
}

/** Undefined of what has gone meanwhile. */
async function entryOf(directory: Buffer, name: Buffer): Promise<{ name: Buffer; stats: fs.BigIntStats } | undefined> {
  try {
    return { name, stats: await lstat(Buffer.concat([directory, Buffer.from('/'), name]), inFull) };
  } catch {
    return undefined;
  }
}

async function makeDirectory(fields: Fields, { places }: Session): Promise<Reply> {
  const path = places.at(fields.bytes());
  const { mode = defaultDirectoryMode } = fields.attributes();
  await mkdir(path, { mode: mode & modeBits });
  return undefined;
}

async function makeLink(fields: Fields, { places }: Session): Promise<Reply> {
  const target = Buffer.from(fields.bytes());
  await symlink(target, places.at(fields.bytes()));
  return undefined;
}

/** Version 3 says that nothing may be there. A file is moved by links, so that nothing can come there meanwhile either. */
async function moveWithoutReplacing(fields: Fields, { places }: Session): Promise<Reply> {
  const [from, to] = [places.at(fields.bytes()), places.at(fields.bytes())];
  if ((await lstat(from)).isFile()) {
    try {
      await link(from, to);
      await unlink(from);
      return undefined;
    } catch (error) {
      if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EXDEV'].includes(systemCode(error) ?? '')) throw error;
    }
  }
  const isFree = await lstat(to).then(
    () => false,
    (error: unknown) => systemCode(error) === 'ENOENT',
  );
  if (!isFree) throw new StatusError(statuses.failure, 'something is there');
  await rename(from, to);
  return undefined;
}
