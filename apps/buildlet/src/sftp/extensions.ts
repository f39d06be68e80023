/** Requests beyond version 3 that OpenSSH's programs make, under its names and with its versions. @see PROTOCOL of OpenSSH, 4 */
import fs from 'node:fs';
import { link, rename, statfs } from 'node:fs/promises';
import { homedir } from 'node:os';
import { promisify } from 'node:util';
import { ownAccount } from '../commands/login.ts';
import { maxHandles } from './handles.ts';
import { maxPacketBytes } from './packets.ts';
import { named, type Reply, type Request, type Session } from './requests.ts';
import { changeEntry } from './set-attributes.ts';
import { kinds, type Fields } from './wire.ts';

const syncFile = promisify(fs.fsync);
/** Of a packet without its content. */
const aroundContent = 1_024;
/** What one READ gives and one WRITE takes. */
export const maxContentBytes = maxPacketBytes - aroundContent;
const longestName = 255n;

const known: readonly (readonly [name: string, version: string, request: Request])[] = [
  ['posix-rename@openssh.com', '1', replace],
  ['statvfs@openssh.com', '2', (fields, { places }) => fileSystemOf(places.at(fields.bytes()))],
  ['fstatvfs@openssh.com', '2', (fields, { handles }) => fileSystemOf(handles.file(fields.bytes()).path)],
  ['hardlink@openssh.com', '1', hardLink],
  ['fsync@openssh.com', '1', async (fields, { handles }) => syncFile(handles.file(fields.bytes()).fd)],
  ['lsetstat@openssh.com', '1', async (fields, { places }) => changeEntry(places.at(fields.bytes()), fields.attributes())],
  ['limits@openssh.com', '1', async () => extendedReply([maxPacketBytes, maxContentBytes, maxContentBytes, maxHandles].map(BigInt))],
  ['expand-path@openssh.com', '1', expandPath],
];

export const extensions: ReadonlyMap<string, Request> = new Map(known.map(([name, , request]) => [name, request]));

/** What VERSION tells of them. */
export const toldExtensions: readonly Buffer[] = known.flatMap(([name, version]) => [Buffer.from(name), Buffer.from(version)]);

function extendedReply(fields: readonly bigint[]): Reply {
  return { kind: kinds.extendedReply, fields };
}

async function replace(fields: Fields, { places }: Session): Promise<Reply> {
  await rename(places.at(fields.bytes()), places.at(fields.bytes()));
  return undefined;
}

async function hardLink(fields: Fields, { places }: Session): Promise<Reply> {
  await link(places.at(fields.bytes()), places.at(fields.bytes()));
  return undefined;
}

async function fileSystemOf(path: Buffer): Promise<Reply> {
  const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(path, { bigint: true });
  const [unknownId, noFlags] = [0n, 0n];
  return extendedReply([bsize, bsize, blocks, bfree, bavail, files, ffree, ffree, unknownId, noFlags, longestName]);
}

/** `~` and what is below it; another user's home is not looked for. */
async function expandPath(fields: Fields, { places }: Session): Promise<Reply> {
  const path = fields.bytes();
  const [, rest] = /^~(\/[^]*)?$/.exec(path.toString('latin1')) === null ? [] : ['', path.subarray(1)];
  if (!rest) return named(await places.real(path));
  const home = Buffer.from(ownAccount()?.home ?? homedir());
  return named(await places.real(Buffer.concat([home, rest])));
}
