/** Open files and directories of one client, by names that mean nothing. */
import { close, type Dir } from 'node:fs';
import { promisify } from 'node:util';
import { StatusError, statuses } from './wire.ts';

export type Handle =
  | { readonly kind: 'file'; readonly fd: number; readonly path: Buffer }
  | { readonly kind: 'directory'; readonly dir: Dir; readonly path: Buffer; told: 'nothing' | 'dots' | 'all' };

/** Disposal closes them all. */
export interface Handles extends AsyncDisposable {
  /** @throws StatusError `failure` when too many are open; to be asked before one is opened */
  checkRoom(): void;
  add(handle: Handle): Buffer;
  /** @throws StatusError `failure` when it is another kind, or none */
  file(name: Buffer): Extract<Handle, { kind: 'file' }>;
  directory(name: Buffer): Extract<Handle, { kind: 'directory' }>;
  close(name: Buffer): Promise<void>;
}

export const maxHandles = 256;
const nameBytes = 4;

const closeFile = promisify(close);

export function createHandles(): Handles {
  const open = new Map<number, Handle>();
  let given = 0;
  const numberOf = (name: Buffer): number => (name.length === nameBytes ? name.readUInt32BE(0) : -1);
  const find = (name: Buffer): Handle => open.get(numberOf(name)) ?? bad('no such handle');
  return {
    checkRoom() {
      if (open.size >= maxHandles) bad(`${maxHandles} files are open`);
    },
    add(handle) {
      do given = (given + 1) >>> 0;
      while (open.has(given));
      open.set(given, handle);
      const name = Buffer.alloc(nameBytes);
      name.writeUInt32BE(given);
      return name;
    },
    file(name) {
      const found = find(name);
      return found.kind === 'file' ? found : bad('it is a directory');
    },
    directory(name) {
      const found = find(name);
      return found.kind === 'directory' ? found : bad('it is no directory');
    },
    async close(name) {
      const found = find(name);
      open.delete(numberOf(name));
      await closeHandle(found);
    },
    async [Symbol.asyncDispose]() {
      await Promise.allSettled([...open.values()].map(closeHandle));
      open.clear();
    },
  };
}

async function closeHandle(handle: Handle): Promise<void> {
  await (handle.kind === 'file' ? closeFile(handle.fd) : handle.dir.close());
}

function bad(message: string): never {
  throw new StatusError(statuses.failure, message);
}
