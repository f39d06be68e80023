/**
 * Makes one file of plain JavaScript of a program that runs on workers, for Node 20 and newer: syntax is lowered, and what such a
 * Node lacks is put in (apps/buildlet/src/older-node). The same sources give the same bytes, wherever and whenever.
 */
import { fileURLToPath } from 'node:url';
import { bundleSources } from '@croft/web/bundle-sources';

/** The root of the repository. */
export const sourcesDir = fileURLToPath(new URL('../../../../', import.meta.url));
/** Scripts and units for machines of each kind. */
export const recipesDir = `${sourcesDir}env`;

/** What machines need at least. */
export const leastNode = 20;

const buildlet = 'apps/buildlet/src';
const olderNode = `${sourcesDir}${buildlet}/older-node/`;
/** Some packages in it are CommonJS and ask for Node's own modules in their way. */
const prelude = "import { createRequire as bundledRequire } from 'node:module';\nconst require = bundledRequire(import.meta.url);";

/** Sources of the programs, from the root of the repository. */
const entryPoints = { buildlet: `${buildlet}/main.ts`, supervise: `${buildlet}/supervise/main.ts` } as const;
export type ProgramName = keyof typeof entryPoints;

/** Written to `outfile`. @throws esbuild's own error, which names file and line */
export async function bundleProgram(name: ProgramName, outfile: string): Promise<void> {
  await bundleSources({
    absWorkingDir: sourcesDir, // names in comments are relative to it
    entryPoints: [entryPoints[name]],
    outfile,
    platform: 'node',
    format: 'esm',
    target: `node${leastNode}`,
    banner: { js: prelude },
    inject: [`${olderNode}globals.ts`],
    plugins: [
      {
        name: 'older-node',
        setup(build) {
          build.onResolve({ filter: /^node:(?:module|zlib)$/ }, ({ path, importer }) =>
            importer.startsWith(olderNode) ? undefined : { path: `${olderNode}${path.slice('node:'.length)}.ts` },
          );
        },
      },
    ],
  });
}
