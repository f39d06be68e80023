/**
 * Runs on disk, one directory each: `intent.json` before anything is started, `process.json` once it is, `end.json` before the
 * end is told, the output in `spool/`. Of a collected run its id is left, for a while. Kill -9 between any two of these
 * leaves a directory that tells what is known.
 */
import { mkdirSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exitSchema, runSpecSchema } from '@croft/protocol/runs';
import * as z from 'zod';
import { readIfThere, writeDurably, writeFailure, writeSynced } from '../state/durable.ts';
import { spreadTrees } from '../state/spread.ts';
import type { ProcessMark } from '../tree/processes.ts';
import { treeMarkSchema } from '../tree/trees.ts';
import { openCollected } from './collected.ts';

const intentSchema = z.object({ spec: runSpecSchema, startedAt: z.number(), tree: treeMarkSchema });
export type Intent = z.infer<typeof intentSchema>;

const endSchema = z.object({ endedAt: z.number(), exit: exitSchema });
export type End = z.infer<typeof endSchema>;

const processSchema = z.object({ pid: z.number().int(), startTicks: z.string(), bootId: z.string() });

export interface StoredRun {
  readonly id: string;
  readonly intent: Intent;
  readonly process: ProcessMark | undefined;
  readonly end: End | undefined;
}

export interface Records {
  readonly runsDir: string;
  readonly collectedFile: string;
  /** Uncollected runs, oldest first. What a predecessor had not finished to write or to remove is removed. */
  load(): Promise<StoredRun[]>;
  spoolDir(id: string): string;
  /** @throws CroftError `exhausted` when the disk is full; nothing is left then */
  saveIntent(id: string, intent: Intent): Promise<void>;
  saveProcess(id: string, mark: ProcessMark): Promise<void>;
  saveEnd(id: string, end: End): Promise<void>;
  /** Forgets a run that was never started. */
  discard(id: string): Promise<void>;
  /** Removes a run and remembers its id until a higher epoch is seen. */
  collect(id: string): Promise<void>;
  isCollected(id: string): boolean;
}

export async function openRecords(stateDir: string, epoch: () => number): Promise<Records> {
  const runsDir = join(stateDir, 'runs');
  await mkdir(runsDir, { recursive: true, mode: 0o700 });
  await spreadTrees(runsDir);
  const collected = await openCollected(stateDir, epoch);
  const file = (id: string, name: string): string => join(runsDir, id, name);
  const discard = (id: string): Promise<void> => rm(join(runsDir, id), { recursive: true, force: true });

  return {
    runsDir,
    collectedFile: collected.path,
    async load() {
      const found: StoredRun[] = [];
      for (const id of await readdir(runsDir)) {
        const intent = parseStored(intentSchema, await readIfThere(file(id, 'intent.json')));
        if (!intent || collected.has(id)) await discard(id);
        else {
          const process = parseStored(processSchema, await readIfThere(file(id, 'process.json')));
          found.push({ id, intent, process, end: parseStored(endSchema, await readIfThere(file(id, 'end.json'))) });
        }
      }
      return found.toSorted((a, b) => a.intent.startedAt - b.intent.startedAt);
    },
    spoolDir: (id) => file(id, 'spool'),
    async saveIntent(id, intent) {
      try {
        mkdirSync(join(runsDir, id), { mode: 0o700 });
        await writeSynced(file(id, 'intent.json'), JSON.stringify(intent));
      } catch (error) {
        await discard(id);
        throw writeFailure(error, file(id, 'intent.json'));
      }
    },
    saveProcess: (id, mark) => writeFile(file(id, 'process.json'), JSON.stringify(mark), { mode: 0o600 }),
    saveEnd: (id, end) => writeDurably(file(id, 'end.json'), JSON.stringify(end)),
    discard,
    async collect(id) {
      await collected.add(id);
      await discard(id);
    },
    isCollected: collected.has,
  };
}

/** A torn file means that the power failed or we were killed before the next step: as good as absent. */
function parseStored<Schema extends z.ZodType>(schema: Schema, text: string | undefined): z.output<Schema> | undefined {
  if (text === undefined) return undefined;
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
