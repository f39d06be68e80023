/**
 * Records what the client and the buildlet of a source tree say to each other: `node farm/src/transcripts/record.ts NAME [TREE]`, with the
 * name of the version (`v0.2`) and the tree of that version, with its dependencies installed; this one by default.
 */
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { startTestBuildlet } from '@croft/buildlet/testing';
import { openRecorder, type Exchange } from './conversation.ts';
import { recordLine } from './line.ts';
import { stories } from './stories.ts';

const [name, tree = fileURLToPath(new URL('../../..', import.meta.url))] = process.argv.slice(2);
if (name === undefined || !/^v\d+\.\d+$/.test(name)) throw new Error('give the name of the version, such as v0.2');
const load = (path: string): Promise<Record<string, unknown>> => import(pathToFileURL(resolve(tree, path)).href);
const testing = (await load('packages/buildlet/src/testing.ts')) as { startTestBuildlet: typeof startTestBuildlet };

const write = async (kind: string, recorded: object, pieces: number): Promise<void> => {
  const file = new URL(`recorded/${kind}-${name}.json`, import.meta.url);
  await writeFile(file, `${JSON.stringify(recorded, undefined, 2)}\n`);
  process.stdout.write(`${fileURLToPath(file)}: ${pieces} pieces\n`);
};

for (const [kind, { door, play }] of Object.entries(stories)) {
  const client = await load(`packages/buildlet/src/${door}.ts`).catch(() => undefined);
  if (!client) continue; // the version had none
  await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-record-'));
  await using buildlet = await testing.startTestBuildlet({ env: { PATH: '/usr/bin:/bin' } });
  const { socketPath, password } = buildlet.address;
  if (socketPath === undefined) throw new Error('the buildlet listens elsewhere');
  const exchanges: Exchange[] = [];
  await using recorder = await openRecorder(join(dir.path, 'socket'), socketPath, exchanges);
  const told = await play(client, { socketPath: recorder.socketPath, password }, name);
  await write(kind, { told, exchanges }, exchanges.length);
}
const line = await recordLine(load, resolve(tree, 'apps/buildlet/src/main.ts'));
if (line) await write('line', { line }, line.length);
