/**
 * Files on their way between people with Go's v2 client and machines (gomote-ssh.md 6.4): each is somebody's own, may be sent once, and is
 * gone after a while. They lie on the coordinator's disk and end with it; a client whose upload was cut begins anew.
 */
import { createReadStream } from 'node:fs';
import { mkdir, open, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { MINUTE, type Clock, type Waits } from '@croft/runtime/clock';
import { sameSecret } from '@croft/runtime/digest';
import { CroftError } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';

export interface TransferLimits {
  readonly maxBytes: number;
  /** Of one person at a time. */
  readonly maxObjects: number;
  /** Free disk below which nothing is taken, bytes. */
  readonly lowWaterBytes: number;
}

export interface Invitation {
  readonly object: string;
  /** Lets whoever shows it send, or get, the object. */
  readonly secret: string;
}

export interface Transfers extends AsyncDisposable {
  /** One object of this person may be sent, once. @throws CroftError `exhausted` */
  invite(owner: string): Invitation;
  /** What was invited. @throws CroftError `forbidden`, `conflict` when it was sent before, `too-large`, `exhausted` */
  receive(invitation: Invitation, body: AsyncIterable<Buffer>): Promise<void>;
  /** What a machine gave, for its owner to get. @throws CroftError `too-large`, `exhausted` */
  keep(owner: string, body: AsyncIterable<Buffer>): Promise<Invitation>;
  /** @throws CroftError `not-found` for one that is not there, not complete, or another person's */
  read(owner: string, object: string): Stored;
  /** @throws CroftError `forbidden` without its secret */
  fetch(invitation: Invitation): Stored;
  /** Removes what has expired. */
  sweep(): Promise<void>;
}

export interface Stored {
  readonly bytes: number;
  content(): AsyncIterable<Buffer>;
}

interface Held {
  readonly owner: string;
  readonly secret: string;
  readonly file: string;
  state: 'invited' | 'coming' | 'here';
  bytes: number;
  /** Monotonic. */
  expiresAt: number;
}

const invitedMs = 10 * MINUTE;
const keptMs = 30 * MINUTE;
/** Disk is looked at after so many bytes. */
const lookBytes = 64 * 1024 * 1024;

export interface TransferDeps {
  readonly dir: string;
  readonly limits: TransferLimits;
  readonly clock: Clock;
  readonly random: Random;
}

interface Shelf extends TransferDeps {
  readonly objects: Map<string, Held>;
}

/** What lay in the directory is removed: nobody knows it any more. */
export async function openTransfers(deps: TransferDeps): Promise<Transfers> {
  const { dir, clock } = deps;
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const shelf: Shelf = { ...deps, objects: new Map() };
  return {
    invite: (owner) => add(shelf, owner, 'invited'),
    async receive(invitation, body) {
      const held = shown(shelf, invitation);
      if (held.state !== 'invited') throw new CroftError('conflict', 'this file was sent before');
      await store(shelf, held, body);
    },
    async keep(owner, body) {
      const invitation = add(shelf, owner, 'coming');
      await store(shelf, shown(shelf, invitation), body);
      return invitation;
    },
    read(owner, object) {
      const held = find(shelf, object);
      if (held?.owner !== owner || held.state !== 'here') throw new CroftError('not-found', 'there is no such file of yours');
      return storedOf(held);
    },
    fetch(invitation) {
      const held = shown(shelf, invitation);
      if (held.state !== 'here') throw new CroftError('forbidden', notValid);
      return storedOf(held);
    },
    async sweep() {
      for (const [object, { file, state, expiresAt }] of shelf.objects) {
        if (state === 'coming' || expiresAt > clock.monotonic()) continue;
        shelf.objects.delete(object);
        await rm(file, { force: true });
      }
    },
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}

const notValid = 'this address does not count, or not any more';

function add({ objects, dir, limits, clock, random }: Shelf, owner: string, state: Held['state']): Invitation {
  const own = objects.values().filter((held) => held.owner === owner && held.expiresAt > clock.monotonic());
  if ([...own].length >= limits.maxObjects) {
    const hint = 'They are forgotten after half an hour.';
    throw new CroftError('exhausted', `${limits.maxObjects} files of yours are on their way already`, { hint });
  }
  const [object, secret] = [uuid(random), random.hex(16)];
  objects.set(object, { owner, secret, file: join(dir, object), state, bytes: 0, expiresAt: clock.monotonic() + invitedMs });
  return { object, secret };
}

function find({ objects, clock }: Shelf, object: string): Held | undefined {
  const held = objects.get(object);
  return held && (held.expiresAt > clock.monotonic() || held.state === 'coming') ? held : undefined;
}

function shown(shelf: Shelf, { object, secret }: Invitation): Held {
  const held = find(shelf, object);
  if (held && sameSecret(secret, held.secret)) return held;
  throw new CroftError('forbidden', notValid);
}

/** One that does not come whole is not there, and may not be sent again. */
async function store({ clock, limits }: Shelf, held: Held, body: AsyncIterable<Buffer>): Promise<void> {
  held.state = 'coming';
  try {
    held.bytes = await write(held.file, body, limits);
    held.expiresAt = clock.monotonic() + keptMs;
    held.state = 'here';
  } catch (error) {
    held.expiresAt = clock.monotonic();
    held.state = 'invited';
    await rm(held.file, { force: true });
    throw error;
  }
}

function storedOf({ bytes, file }: Held): Stored {
  return { bytes, content: () => createReadStream(file) as AsyncIterable<Buffer> };
}

/** @returns how many bytes it has */
async function write(file: string, body: AsyncIterable<Buffer>, { maxBytes, lowWaterBytes }: TransferLimits): Promise<number> {
  await using handle = await open(file, 'wx', 0o600);
  let bytes = 0;
  let lookedAt = -lookBytes;
  for await (const piece of body) {
    if (bytes + piece.length > maxBytes) throw new CroftError('too-large', `the file is larger than ${maxBytes} bytes`);
    if (bytes - lookedAt >= lookBytes) {
      const { bavail, bsize } = await statfs(file);
      if (bavail * bsize < lowWaterBytes) throw new CroftError('exhausted', 'the coordinator has too little free disk');
      lookedAt = bytes;
    }
    await handle.write(piece);
    bytes += piece.length;
  }
  return bytes;
}

function uuid(random: Random): string {
  const [, ...groups] = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/.exec(random.hex(16)) ?? [];
  return groups.join('-');
}

/** Removes what has expired, each minute until the signal. */
export async function keepSweeping(transfers: Transfers, clock: Clock, { signal }: Waits): Promise<void> {
  for (;;) {
    await clock.sleep(MINUTE, { signal });
    await transfers.sweep();
  }
}
