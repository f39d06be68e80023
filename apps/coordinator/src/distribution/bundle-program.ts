/**
 * Makes one file of plain JavaScript of a program that runs elsewhere, for Node 20 and newer: syntax is lowered, and what such a Node
 * lacks is put in (apps/buildlet/src/older-node). The same sources give the same bytes, wherever and whenever.
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

const formats = {
  /** Some packages in it are CommonJS and ask for Node's own modules in their way. */
  esm: {
    format: 'esm',
    banner: { js: "import { createRequire as bundledRequire } from 'node:module';\nconst require = bundledRequire(import.meta.url);" },
  },
  /**
   * For a name without an ending, which Node takes for one kind of module or the other by where it lies. It starts faster than a module: an
   * `import` of Node's own reads every name that they have.
   */
  either: {
    format: 'cjs',
    banner: {
      js: "var require = typeof require === 'function' ? require : process.getBuiltinModule;\nvar bundledUrl = require('node:url').pathToFileURL(process.argv[1]).href;",
    },
    define: { 'import.meta.url': 'bundledUrl' },
  },
} as const;

/** Sources of the programs, from the root of the repository. */
const programs = {
  buildlet: { source: `${buildlet}/main.ts`, format: formats.esm },
  supervise: { source: `${buildlet}/supervise/main.ts`, format: formats.esm },
  gomote: { source: 'apps/gomote/src/one-file.ts', format: formats.either },
} as const;
export type ProgramName = keyof typeof programs;

/** Written to `outfile`. @throws esbuild's own error, which names file and line */
export async function bundleProgram(name: ProgramName, outfile: string): Promise<void> {
  const { source, format } = programs[name];
  await bundleSources({
    absWorkingDir: sourcesDir, // names in comments are relative to it
    entryPoints: [source],
    outfile,
    platform: 'node',
    target: `node${leastNode}`,
    ...format,
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
