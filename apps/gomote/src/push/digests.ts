/** SHA-256 of files, remembered by device, inode, size and times, so that a file that has not changed is not read again. */
import { createHash, hash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Cli } from '@croft/cli/program';
import { placeOf, type LocalEntry } from './local-tree.ts';

type FileEntry = LocalEntry & { readonly kind: 'file' };

export interface Digests {
  /** @throws what reading the file does */
  of(entry: FileEntry): Promise<string>;
  /** Of a file that was read anyway. */
  note(entry: FileEntry, digest: string): void;
  /** Keeps those of these files and no others. */
  save(): Promise<void>;
}

const wholeBytes = 1024 ** 2;
/** A file that changes twice within one tick of its file system's clock shows the same times; some clocks tick in seconds. */
const tickNs = { fine: 100_000_000n, coarse: 2_100_000_000n };
const second = 1_000_000_000n;

export async function openDigests(root: string, { env, clock }: Pick<Cli, 'env' | 'clock'>): Promise<Digests> {
  const file = fileFor(root, env);
  const before = parse(file === undefined ? '' : await readFile(file, 'latin1').catch(() => ''));
  const nowNs = BigInt(clock.now()) * 1_000_000n;
  const after = new Map<string, Known>();
  let changed = false;
  const note = ({ path, stamp, changedNs }: FileEntry, digest: string): void => {
    const tick = changedNs % second === 0n ? tickNs.coarse : tickNs.fine;
    if (nowNs - changedNs < tick) return; // it could still change and look the same
    changed = true;
    after.set(path, { stamp, digest });
  };
  return {
    async of(entry) {
      const known = before.get(entry.path);
      if (known?.stamp === entry.stamp) {
        after.set(entry.path, known);
        return known.digest;
      }
      const digest = await digestOf(placeOf(root, entry.path), entry);
      note(entry, digest);
      return digest;
    },
    note,
    async save() {
      if (file === undefined || (!changed && after.size === before.size)) return;
      await mkdir(dirname(file), { recursive: true, mode: 0o700 });
      const draft = `${file}.${process.pid}`;
      await writeFile(draft, [...after].map(([path, { stamp, digest }]) => `${digest} ${stamp} ${path}\0`).join(''), {
        encoding: 'latin1',
        mode: 0o600,
      });
      await rename(draft, file);
    },
  };
}

interface Known {
  readonly stamp: string;
  readonly digest: string;
}

function parse(text: string): Map<string, Known> {
  const known = new Map<string, Known>();
  for (const line of text.split('\0')) {
    const [, digest, stamp, path] = /^([0-9a-f]{64}) (\d+ \d+ \d+ \d+ \d+) ([^]+)$/.exec(line) ?? [];
    if (path !== undefined && digest !== undefined && stamp !== undefined) known.set(path, { stamp, digest });
  }
  return known;
}

function fileFor(root: string, env: Cli['env']): string | undefined {
  const home = env['XDG_CACHE_HOME'] ?? env['LOCALAPPDATA'] ?? (env['HOME'] && join(env['HOME'], '.cache'));
  return home ? join(home, 'gomote', 'digests', hash('sha256', root)) : undefined;
}

async function digestOf(path: Buffer, { sizeBytes }: FileEntry): Promise<string> {
  if (sizeBytes <= wholeBytes) return hash('sha256', readFileSync(path));
  const digest = createHash('sha256');
  for await (const piece of createReadStream(path)) digest.update(piece as Buffer);
  return digest.digest('hex');
}
