/** A directory of a machine as a tar.gz here: whole under its name, or not at all. */
import { open, rename, rm } from 'node:fs/promises';
import type { Cli } from '@croft/cli/program';
import { isNotThere } from '@croft/buildlet/not-there';
import { anySignal } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { countedBytes } from './transfer.ts';
import { anyEpoch, type Machine } from './world.ts';

export interface Fetch {
  readonly dir: string;
  readonly path: string;
  /** Beside Ctrl-C. */
  readonly signal?: AbortSignal;
}

const gzipLevel = 6;

/** @returns its size */
export async function fetchTree(machine: Machine, { dir, path, signal: given }: Fetch, cli: Cli): Promise<number> {
  using interruption = cli.interruption();
  const signal = anySignal(interruption.signal, given);
  const draft = `${path}.part`;
  await using counted = countedBytes(cli, { what: path });
  let bytes = 0;
  try {
    {
      await using file = await open(draft, 'w', 0o600);
      for await (const piece of counted.through(treeOf(machine, dir, signal))) {
        for (let at = 0; at < piece.length;) at += (await file.write(piece, at)).bytesWritten;
        bytes += piece.length;
      }
    }
    await rename(draft, path);
    return bytes;
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

export async function* treeOf({ buildlet, session }: Machine, dir: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
  try {
    yield* buildlet.getTarGz(dir, [], anyEpoch, { gzipLevel, signal });
  } catch (error) {
    throw unlessThere(error, dir, session.alias);
  }
}

/** In words for whoever asked for it. */
export function unlessThere(error: unknown, dir: string, alias: string): unknown {
  if (!isNotThere(error)) return error;
  return new CroftError('not-found', `${alias} has no ${JSON.stringify(dir)} in its work directory`, {
    hint: `What is there: gomote ls ${alias}`,
  });
}
