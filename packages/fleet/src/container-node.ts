/**
 * The Node that runs a buildlet inside of a container: this process's own program and the libraries that it has loaded, with their
 * loader, so that the image needs neither Node nor a C library that suits it.
 */
import { copyFile, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CroftError } from '@croft/runtime/errors';
import { sha256Hex } from '@croft/runtime/digest';

export interface ContainerNode {
  /** The program itself. */
  readonly program: string;
  /** Holds its libraries and their loader. */
  readonly libDir: string;
  /** Name of the loader there. */
  readonly loader: string;
}

/** Copied below `dir`, once for each set of libraries. @throws CroftError `invalid` where containers cannot run this Node */
export async function prepareContainerNode(dir: string): Promise<ContainerNode> {
  const libraries = loadedLibraries();
  const loader = libraries.map((file) => basename(file)).find((name) => /^ld-(?:linux|musl)/.test(name));
  if (process.platform !== 'linux' || loader === undefined) {
    throw new CroftError('invalid', `containers cannot run the Node of this computer (${process.platform})`, {
      hint: 'Run the coordinator on Linux, with the Node that npm brings.',
    });
  }
  const contents = await Promise.all(libraries.map(async (file) => sha256Hex(await readFile(file))));
  const libDir = join(dir, `lib-${sha256Hex(contents.join()).slice(0, 16)}`);
  await copyOnce(libraries, libDir);
  return { program: process.execPath, libDir, loader };
}

function loadedLibraries(): string[] {
  const { sharedObjects } = process.report.getReport() as { sharedObjects: string[] };
  return sharedObjects.filter((file) => /^\/.*\/(?:lib[^/]*|ld-[^/]*)\.so[^/]*$/.test(file));
}

async function copyOnce(files: readonly string[], to: string): Promise<void> {
  const partial = `${to}.${process.pid}`;
  await mkdir(partial, { recursive: true });
  for (const file of files) await copyFile(file, join(partial, basename(file)));
  await rename(partial, to).catch(() => rm(partial, { recursive: true })); // it is there already
}
