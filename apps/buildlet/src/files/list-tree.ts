/**
 * `GET /ls` with `digest=sha256`: what whoever sends a tree compares theirs with. Modes, targets of links and digests, in records that names of
 * any bytes cannot break. @see docs/protocols/buildlet.md#trees
 */
import { readlinkSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '@croft/runtime/clock';
import { systemCode } from '@croft/runtime/errors';
import { digestOf } from './digest.ts';
import type { DigestMemory } from './digest-memory.ts';
import { entriesInTurn, walkTree, type Walked } from './walk.ts';

export interface TreeListOptions {
  /** Directories below the base that are neither told nor entered. */
  readonly skip: readonly string[];
  readonly memory: DigestMemory;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const batchLength = 64 * 1024;
const modeBits = 0o7777n;
const unreadable = '-';

/** Of a base that is not there nothing. What goes away or cannot be read meanwhile is left out, or told without a digest. */
export async function* treeListing(base: string, options: TreeListOptions): AsyncGenerator<Buffer, void> {
  const { skip, signal } = options;
  const skipped = new Set(skip.map((path) => Buffer.from(path).toString('latin1')));
  const isSkipped = ({ path, stats }: Walked): boolean => skipped.size > 0 && stats.isDirectory() && skipped.has(path);
  let records = '';
  let count = 0;
  try {
    for (const found of walkTree(base, { enters: (directory) => !isSkipped(directory), onFailure: () => undefined })) {
      if ((count += 1) % entriesInTurn === 0) await nextTurn();
      signal.throwIfAborted();
      if (isSkipped(found)) continue;
      records += recordOf(found, options) ?? (await fileRecord(found, options));
      if (records.length < batchLength) continue;
      yield Buffer.from(records, 'latin1');
      records = '';
    }
  } catch (error) {
    if (count > 0 || systemCode(error) !== 'ENOENT') throw error;
  }
  if (records !== '') yield Buffer.from(records, 'latin1');
}

/** Undefined of a file that must be read first. */
function recordOf(found: Walked, { memory }: TreeListOptions): string | undefined {
  const { path, at, stats } = found;
  if (stats.isFile()) {
    const known = memory.find(stats);
    return known === undefined ? undefined : ofFile(found, known);
  }
  const mode = modeOf(found);
  if (stats.isDirectory()) return `d ${mode} ${path}\0`;
  if (!stats.isSymbolicLink()) return `o ${mode} ${path}\0`;
  const target = orUndefined(() => readlinkSync(at, 'latin1'));
  return target === undefined ? '' : `l ${path}\0${target}\0`;
}

async function fileRecord(found: Walked, { memory, clock, signal }: TreeListOptions): Promise<string> {
  const { at, stats } = found;
  try {
    const digest = await digestOf('sha256', { at, size: Number(stats.size), signal });
    memory.keep(stats, digest, clock.now());
    return ofFile(found, digest);
  } catch {
    signal.throwIfAborted();
    return ofFile(found, unreadable);
  }
}

function ofFile(found: Walked, digest: string): string {
  return `f ${modeOf(found)} ${found.stats.size} ${digest} ${found.path}\0`;
}

function modeOf({ stats }: Walked): string {
  return (stats.mode & modeBits).toString(8);
}

function orUndefined<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
