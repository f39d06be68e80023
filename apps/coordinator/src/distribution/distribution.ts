/**
 * What machines run, made from the sources once in each process, so that all machines of this coordinator run what it was itself
 * started with, whatever is edited meanwhile; and what people install. Why files and not the sources: docs/decisions/0005-buildlet-as-one-file.md.
 */
import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { protocols, type DistributedFile, type Manifest } from '@croft/protocol/distribution';
import { sha256Hex } from '@croft/runtime/digest';
import { CroftError } from '@croft/runtime/errors';
import { bundleProgram, leastNode, sourcesDir } from './bundle-program.ts';

export interface Distribution {
  readonly manifest: Manifest;
  /** Holds the files of the manifest, `manifest.json` and `SHA256SUMS`. */
  readonly dir: string;
  /** The buildlet, as a path. */
  readonly program: string;
}

/** What people install. */
export interface PeoplesProgram {
  readonly file: DistributedFile;
  /** Holds it, and `SHA256SUMS`. */
  readonly dir: string;
}

/** Its files lie in `dir`, once they are written. */
export function createDistribution(dir: string): () => Promise<Distribution> {
  return madeOnce(() => makeDistribution(dir));
}

/** In a directory of its own below `dir`; made when somebody asks for it. */
export function createGomote(dir: string): () => Promise<PeoplesProgram> {
  return madeOnce(() => makeGomote(join(dir, 'gomote')));
}

/** After a failure the next call tries again. */
function madeOnce<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () =>
    (made ??= make().catch((cause: unknown) => {
      made = undefined;
      throw new CroftError('internal', 'bundling the programs that others run', { cause });
    }));
}

async function makeGomote(dir: string): Promise<PeoplesProgram> {
  await mkdir(dir, { recursive: true });
  const file = await makeFile(dir, 'gomote', (path) => bundleProgram('gomote', path));
  await writeFile(join(dir, 'SHA256SUMS'), sumsOf([file]));
  return { file, dir };
}

async function makeDistribution(dir: string): Promise<Distribution> {
  await mkdir(dir, { recursive: true });
  const [commit, packageText] = await Promise.all([commitOf(sourcesDir), readFile(join(sourcesDir, 'package.json'), 'utf8')]);
  const programs = (['buildlet', 'supervise'] as const).map((name) => makeFile(dir, `${name}.mjs`, (path) => bundleProgram(name, path)));
  const files = await Promise.all([...programs, ...terminalModules(dir)]);
  const sums = sumsOf(files);
  const { version } = JSON.parse(packageText) as { version: string };
  const manifest: Manifest = {
    format: 1,
    version: `${version}-${sha256Hex(sums).slice(0, 12)}`,
    ...(commit === undefined ? {} : { commit }),
    protocols,
    node: leastNode,
    files,
  };
  await writeFile(join(dir, 'SHA256SUMS'), sums);
  await writeFile(join(dir, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return { manifest, dir, program: join(dir, 'buildlet.mjs') };
}

function sumsOf(files: readonly DistributedFile[]): string {
  return files.map(({ sha256, name }) => `${sha256}  ${name}\n`).join('');
}

/** What terminals need beside the program on each platform whose package is installed here. */
function terminalModules(dir: string): Promise<DistributedFile>[] {
  const packages = join(sourcesDir, 'node_modules', '@lydell');
  const found = globSync('node-pty-*/pty.node', { cwd: packages }).toSorted();
  return found.map(async (file) => {
    const platform = dirname(file).slice('node-pty-'.length);
    const made = await makeFile(dir, `pty-${platform}.node`, (path) => copyFile(join(packages, file), path));
    return { ...made, platform };
  });
}

/** Whole under its name or not at all; a machine that is up has read the one before. */
async function makeFile(dir: string, name: string, make: (path: string) => Promise<void>): Promise<DistributedFile> {
  const path = join(dir, name);
  try {
    await make(`${path}.new`);
    const bytes = await readFile(`${path}.new`);
    await rename(`${path}.new`, path);
    return { name, size: bytes.length, sha256: sha256Hex(bytes) };
  } finally {
    await rm(`${path}.new`, { force: true });
  }
}

/** Undefined where the sources are no clone, or there is no git. */
async function commitOf(dir: string): Promise<string | undefined> {
  const args = ['-C', dir, 'describe', '--always', '--abbrev=40', '--exclude=*', '--dirty=+changes'];
  const { stdout } = await promisify(execFile)('git', args).catch(() => ({ stdout: '' }));
  return stdout.trim() || undefined;
}
