/**
 * The buildlet as machines on this computer run it: one file of plain JavaScript, bundled from the sources when the first of them
 * starts. Why not the sources themselves: docs/decisions/0005-buildlet-as-one-file.md.
 */
import { rename } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { CroftError } from '@croft/runtime/errors';
import { bundleSources } from '@croft/web/bundle-sources';

const buildletMain = fileURLToPath(new URL('../../../buildlet/src/main.ts', import.meta.url));
/** Some packages in it are CommonJS and ask for Node's own modules in their way. */
const prelude = "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);";

/**
 * The program's path is `file`, once it is written. That happens once in this process, so that all its machines run what it was
 * itself started with; after a failure the next call tries again.
 */
export function createBuildletProgram(file: string): () => Promise<string> {
  let made: Promise<string> | undefined;
  return () =>
    (made ??= makeProgram(file).catch((cause: unknown) => {
      made = undefined;
      throw new CroftError('internal', 'bundling the program of the buildlets', { cause });
    }));
}

async function makeProgram(file: string): Promise<string> {
  await bundleSources({
    entryPoints: [buildletMain],
    outfile: `${file}.new`,
    platform: 'node',
    format: 'esm',
    target: `node${process.versions.node}`,
    banner: { js: prelude },
  });
  await rename(`${file}.new`, file); // machines that are up have read the one before
  return file;
}
