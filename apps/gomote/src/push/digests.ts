/** SHA-256 of files, remembered by device, inode, size and times, so that a file that has not changed is not read again. */
import { createHash, hash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeOwnFile } from '@croft/cli/own-file';
import type { Cli } from '@croft/cli/program';
import { SECOND } from '@croft/runtime/clock';
import { placeOf, type LocalEntry } from './local-tree.ts';

type FileEntry = LocalEntry & { readonly kind: 'file' };

export interface Digests {
  /** At once unless the file is large. @throws what reading the file does */
  of(entry: FileEntry): string | Promise<string>;
  /** Of a file that was read anyway. */
  note(entry: FileEntry, digest: string): string;
  /** Keeps those of these files and no others. */
  save(): Promise<void>;
}

const wholeBytes = 1024 ** 2;
const digestChars = 64;
/** A file that changes twice within one tick of its file system's clock shows the same times; some clocks tick in seconds. */
const tickMs = { fine: 100, coarse: 2_100 };

export async function openDigests(root: string, { env, clock }: Pick<Cli, 'env' | 'clock'>): Promise<Digests> {
  const file = fileFor(root, env);
  const before = parse(file === undefined ? '' : await readFile(file, 'latin1').catch(() => ''));
  const now = clock.now();
  const after = new Map<string, string>();
  let changed = false;
  const note = ({ path, stamp, changedAt }: FileEntry, digest: string): string => {
    const tick = changedAt % SECOND === 0 ? tickMs.coarse : tickMs.fine;
    if (now - changedAt < tick) return digest; // it could still change and look the same
    changed = true;
    after.set(path, `${digest} ${stamp}`);
    return digest;
  };
  return {
    of(entry) {
      const known = before.get(entry.path);
      if (known !== undefined && known.slice(digestChars + 1) === entry.stamp) {
        after.set(entry.path, known);
        return known.slice(0, digestChars);
      }
      const place = placeOf(root, entry.path);
      if (entry.sizeBytes <= wholeBytes) return note(entry, hash('sha256', readFileSync(place)));
      return digestInPieces(place).then((digest) => note(entry, digest));
    },
    note,
    async save() {
      if (file === undefined || (!changed && after.size === before.size)) return;
      await writeOwnFile(file, Buffer.from([...after].flat().join('\0'), 'latin1'));
    },
  };
}

/** Each path with `DIGEST STAMP`. A file that says something else says of no path what is so. */
function parse(text: string): Map<string, string> {
  const known = new Map<string, string>();
  const fields = text.split('\0');
  for (let at = 0; at + 1 < fields.length; at += 2) known.set(fields[at] ?? '', fields[at + 1] ?? '');
  return known;
}

function fileFor(root: string, env: Cli['env']): string | undefined {
  const home = env['XDG_CACHE_HOME'] ?? env['LOCALAPPDATA'] ?? (env['HOME'] && join(env['HOME'], '.cache'));
  return home ? join(home, 'gomote', 'digests', hash('sha256', root)) : undefined;
}

async function digestInPieces(path: string | Buffer): Promise<string> {
  const digest = createHash('sha256');
  for await (const piece of createReadStream(path)) digest.update(piece as Buffer);
  return digest.digest('hex');
}
