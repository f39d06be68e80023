/**
 * Runs on disk, one directory each: `record` with a line for the intent before anything is started, for the process once it is, for
 * the end before that is told; the output in `spool/` and, where it is apart, `stderr/`. Of a collected run its id is left, for a while. Kill -9 between any two of
 * these leaves a directory that tells what is known. One file that grows, since making files is much of what a short run costs.
 */
import { mkdirSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { evidenceSchema, exitSchema, runSpecSchema, usageSchema } from '@croft/protocol/runs';
import * as z from 'zod';
import { appendLine, readIfThere, writeFailure } from '../state/durable.ts';
import { spreadTrees } from '../state/spread.ts';
import type { ProcessMark } from '../tree/processes.ts';
import { treeMarkSchema } from '../tree/trees.ts';
import { openCollected } from './collected.ts';

const intentSchema = z.object({ spec: runSpecSchema, startedAt: z.number(), tree: treeMarkSchema });
export type Intent = z.infer<typeof intentSchema>;

const endSchema = z.object({
  endedAt: z.number(),
  exit: exitSchema,
  usage: usageSchema.optional(),
  evidence: evidenceSchema.optional(),
});
export type End = z.infer<typeof endSchema>;

const processSchema = z.object({ pid: z.number().int(), startTicks: z.string(), bootId: z.string() });

const lineSchema = z.object({ intent: intentSchema, process: processSchema, end: endSchema }).partial();

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
  spoolDir(id: string, stream?: 'stderr'): string;
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
  const file = (id: string): string => join(runsDir, id, 'record');
  const discard = (id: string): Promise<void> => rm(join(runsDir, id), { recursive: true, force: true });

  return {
    runsDir,
    collectedFile: collected.path,
    async load() {
      const found: StoredRun[] = [];
      for (const id of await readdir(runsDir)) {
        const { intent, process, end } = parseRecord((await readIfThere(file(id))) ?? '');
        if (!intent || collected.has(id)) await discard(id);
        else found.push({ id, intent, process, end });
      }
      return found.toSorted((a, b) => a.intent.startedAt - b.intent.startedAt);
    },
    spoolDir: (id, stream) => join(runsDir, id, stream ?? 'spool'),
    async saveIntent(id, intent) {
      try {
        mkdirSync(join(runsDir, id), { mode: 0o700 });
        await appendLine(file(id), JSON.stringify({ intent }));
      } catch (error) {
        await discard(id);
        throw writeFailure(error, file(id));
      }
    },
    saveProcess: (id, mark) => appendLine(file(id), JSON.stringify({ process: mark }), { sync: false }), // only evidence
    saveEnd: (id, end) => appendLine(file(id), JSON.stringify({ end })),
    discard,
    async collect(id) {
      await collected.add(id);
      await discard(id);
    },
    isCollected: collected.has,
  };
}

/** A torn line means that the power failed or we were killed before the next step: as good as absent. */
function parseRecord(text: string): z.output<typeof lineSchema> {
  const known: z.output<typeof lineSchema>[] = [];
  for (const line of text.split('\n')) {
    try {
      known.push(lineSchema.parse(JSON.parse(line)));
    } catch {
      // Torn, or empty.
    }
  }
  return Object.assign({}, ...known) as z.output<typeof lineSchema>;
}
