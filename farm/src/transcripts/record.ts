/**
 * Records what the client and the buildlet of a source tree say to each other: `node farm/src/transcripts/record.ts NAME [TREE]`, with the
 * name of the version (`v0.2`) and the tree of that version, with its dependencies installed; this one by default.
 */
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { createBuildlet } from '@croft/buildlet/client';
import type { startTestBuildlet } from '@croft/buildlet/testing';
import { systemClock } from '@croft/runtime/clock';
import { openRecorder, type Exchange } from './conversation.ts';
import { recordLine } from './line.ts';
import { playStory } from './story.ts';

const [name, tree = fileURLToPath(new URL('../../..', import.meta.url))] = process.argv.slice(2);
if (name === undefined || !/^v\d+\.\d+$/.test(name)) throw new Error('give the name of the version, such as v0.2');
const load = (path: string): Promise<Record<string, unknown>> => import(pathToFileURL(resolve(tree, path)).href);
const client = (await load('packages/buildlet/src/client.ts')) as { createBuildlet: typeof createBuildlet };
const testing = (await load('packages/buildlet/src/testing.ts')) as { startTestBuildlet: typeof startTestBuildlet };

const write = async (kind: string, recorded: object, pieces: number): Promise<void> => {
  const file = new URL(`recorded/${kind}-${name}.json`, import.meta.url);
  await writeFile(file, `${JSON.stringify(recorded, undefined, 2)}\n`);
  process.stdout.write(`${fileURLToPath(file)}: ${pieces} pieces\n`);
};

await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-record-'));
await using buildlet = await testing.startTestBuildlet({ env: { PATH: '/usr/bin:/bin' } });
const { address } = buildlet;
if (address.socketPath === undefined) throw new Error('the buildlet listens elsewhere');
const exchanges: Exchange[] = [];
await using recorder = await openRecorder(join(dir.path, 'socket'), address.socketPath, exchanges);
await using speaker = client.createBuildlet({ socketPath: recorder.socketPath, password: address.password }, { clock: systemClock });
const told = await playStory(speaker);
await write('runs', { told, exchanges }, exchanges.length);
const line = await recordLine(load);
if (line) await write('line', { line }, line.length);
