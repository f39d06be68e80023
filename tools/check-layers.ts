/**
 * Who may import whom, as `layers.json` says it: levels from the ground up (an import points down), sideways imports listed one
 * by one, pure rooms without `node:` modules. Also: rooms meet only at the doors in `exports`, and `./testing` doors open
 * for tests and for the farm level alone. Prints one line per finding.
 */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, sep } from 'node:path';
import { importsOf } from './source-text.ts';

interface Layers {
  readonly levels: readonly { readonly name: string; readonly rooms: readonly string[] }[];
  readonly sideways: Readonly<Record<string, readonly string[]>>;
  readonly pure: readonly string[];
}

interface Room {
  readonly path: string;
  readonly level: number;
  readonly doors: ReadonlySet<string>;
}

if (import.meta.main) {
  const findings = checkLayers(process.cwd());
  for (const finding of findings) process.stdout.write(`${finding}\n`);
  process.exitCode = findings.length > 0 ? 1 : 0;
}

/** @returns a line for each import that is not allowed, and for each room that layers.json and the tree do not both have */
export function checkLayers(root: string): string[] {
  const layers: Layers = JSON.parse(readFileSync(join(root, 'layers.json'), 'utf8'));
  const { workspaces } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const found = globSync(
    workspaces.map((pattern: string) => `${pattern}/package.json`),
    { cwd: root },
  ).map((path) => slashed(dirname(path)));
  const listed = layers.levels.flatMap(({ rooms }) => rooms);
  const missing = [
    ...found.filter((path) => !listed.includes(path)).map((path) => `layers.json: room ${path} has no level`),
    ...listed.filter((path) => !found.includes(path)).map((path) => `layers.json: there is no room ${path}`),
  ];
  const rooms = new Map(found.filter((path) => listed.includes(path)).map((path) => readRoom(root, path, layers)));
  const files = [...rooms.values()].flatMap(({ path }) =>
    globSync(`${path}/**/*.{ts,mjs}`, { cwd: root, exclude: (name) => name.endsWith('node_modules') }),
  );
  return [...missing, ...files.toSorted().flatMap((file) => checkFile(root, slashed(file), { layers, rooms }))];
}

function readRoom(root: string, path: string, { levels }: Layers): [string, Room] {
  const manifest = JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8'));
  const doors = new Set(Object.keys(manifest.exports ?? {}));
  return [manifest.name, { path, doors, level: levels.findIndex(({ rooms }) => rooms.includes(path)) }];
}

function checkFile(root: string, file: string, world: { layers: Layers; rooms: ReadonlyMap<string, Room> }): string[] {
  const own = [...world.rooms.values()].find(({ path }) => file.startsWith(`${path}/`));
  if (!own) return [];
  return importsOf(readFileSync(join(root, file), 'utf8')).flatMap(({ specifier, line }) => {
    const why = objection({ file, own, specifier }, world);
    return why ? [`${file}:${line} imports ${specifier}: ${why}`] : [];
  });
}

function objection(
  { file, own, specifier }: { file: string; own: Room; specifier: string },
  { layers, rooms }: { layers: Layers; rooms: ReadonlyMap<string, Room> },
): string | undefined {
  const isTest = /\.test\.ts$|\/testing(-[a-z-]+)?\.ts$|contract\.ts$/.test(file);
  if (specifier.startsWith('.')) {
    const target = slashed(normalize(join(dirname(file), specifier)));
    return target.startsWith(`${own.path}/`) ? undefined : `it leaves ${own.path}; use the other room's door`;
  }
  if (specifier.startsWith('node:')) {
    return layers.pure.includes(own.path) && !isTest ? `${own.path} is pure and takes no node: module` : undefined;
  }
  const name = specifier.split('/').slice(0, 2).join('/');
  const target = rooms.get(name);
  if (!target) return specifier.startsWith('@croft') ? 'there is no such room' : undefined;
  const door = `.${specifier.slice(name.length)}`;
  if (!target.doors.has(door)) return `${name} has no door ${door} in its exports`;
  const inFarm = own.level === layers.levels.length - 1;
  if (/\/testing\b/.test(door) && !isTest && !inFarm) return 'testing doors are for tests and the farm';
  if (target === own || target.level < own.level || layers.sideways[own.path]?.includes(target.path)) return undefined;
  const [from, to] = [layers.levels[own.level]?.name, layers.levels[target.level]?.name];
  return target.level > own.level ? `up from ${from} to ${to}` : `sideways within ${from}, and not listed in layers.json`;
}

function slashed(path: string): string {
  return path.replaceAll(sep, '/');
}
