/**
 * The versions as directories: `versions/NAME/` with the files and the manifest that tells their checksums, and `versions.json`, which
 * says which of them runs. Whatever is killed whenever, a directory under its name is whole, and what is not named is removed.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { manifestSchema, type DistributedFile, type Manifest } from '@croft/protocol/distribution';
import { CroftError } from '@croft/runtime/errors';
import { readIfThere, writeDurably } from '../state/durable.ts';
import { versionsSchema, type Versions } from './versions.ts';

export interface VersionFiles {
  /** None where nothing, or nothing readable, was stored. */
  load(): Promise<Versions>;
  save(versions: Versions): Promise<void>;
  /** Removes all other versions, and what was left half done. */
  keepOnly(names: readonly string[]): Promise<void>;
  /** The directory of a version of which every file has its checksum; undefined for any other. */
  whole(name: string): Promise<string | undefined>;
  /** Fetches what this machine needs of it. @throws CroftError when a file is not what the manifest says; nothing is left then */
  add(manifest: Manifest, fetchFile: (file: DistributedFile, path: string) => Promise<void>): Promise<void>;
}

const unfinished = '.new';

export function openVersionFiles(dir: string, platform = `${process.platform}-${process.arch}`): VersionFiles {
  const stateFile = join(dir, 'versions.json');
  const versionsDir = join(dir, 'versions');
  const whole = async (name: string): Promise<string | undefined> => {
    const versionDir = join(versionsDir, name);
    const manifest = await readManifest(join(versionDir, 'manifest.json'));
    if (!manifest) return undefined;
    for (const file of neededBy(platform, manifest)) {
      if (!(await matches(file, join(versionDir, file.name)))) return undefined;
    }
    return versionDir;
  };
  return {
    async load() {
      const text = await readIfThere(stateFile);
      const parsed = versionsSchema.safeParse(parseJson(text ?? ''));
      return parsed.success ? parsed.data : { kind: 'none', bad: [] };
    },
    save: (versions) => writeDurably(stateFile, `${JSON.stringify(versions, undefined, 2)}\n`),
    async keepOnly(names) {
      await mkdir(versionsDir, { recursive: true });
      const others = (await readdir(versionsDir)).filter((name) => !names.includes(name));
      for (const name of others) await rm(join(versionsDir, name), { recursive: true, force: true });
    },
    whole,
    async add(manifest, fetchFile) {
      const target = join(versionsDir, manifest.version);
      const making = join(versionsDir, unfinished);
      await rm(making, { recursive: true, force: true });
      await mkdir(making, { recursive: true });
      for (const file of neededBy(platform, manifest)) {
        const path = join(making, file.name);
        await fetchFile(file, path);
        if (await matches(file, path)) continue;
        await rm(making, { recursive: true, force: true });
        throw new CroftError('invalid', `fetch ${file.name} of version ${manifest.version}: what came is not what the manifest says`, {
          hint: 'Something on the way changes files, or the farm was just updated; it is fetched again later.',
        });
      }
      await writeDurably(join(making, 'manifest.json'), JSON.stringify(manifest));
      await syncAll(making);
      await rm(target, { recursive: true, force: true });
      await rename(making, target);
    },
  };
}

function neededBy(platform: string, { files }: Manifest): DistributedFile[] {
  return files.filter((file) => file.platform === undefined || file.platform === platform);
}

async function readManifest(path: string): Promise<Manifest | undefined> {
  const parsed = manifestSchema.safeParse(parseJson((await readIfThere(path)) ?? ''));
  return parsed.success ? parsed.data : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function matches({ size, sha256 }: DistributedFile, path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile() || found.size !== size) return false;
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex') === sha256;
}

/** A name must not be durable before its bytes are. */
async function syncAll(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    const file = await open(join(dir, name), 'r+');
    await file.sync().finally(() => file.close());
  }
}
