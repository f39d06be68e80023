/**
 * Which source lies in the work directory, under the name that its sender gave it. A command may ask for it by name and then never
 * starts in a tree that was removed, replaced, or written before the machine lost power. @see docs/protocols/runs.md#the-source
 */
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sourceNameSchema } from '@croft/protocol/runs';
import * as z from 'zod';
import { bootId } from '../tree/processes.ts';

export interface SourceNote {
  /** Undefined when the work directory holds something else, or nothing is known. */
  readonly name: string | undefined;
  /** Before the work directory is changed. */
  forget(): void;
  /** When all of it is there. */
  note(name: string): void;
}

const noteSchema = z.object({ name: sourceNameSchema, place: z.string() });

/** What a predecessor noted counts where the directory is still the same. */
export function openSourceNote(stateDir: string, workDir: string): SourceNote {
  const path = join(stateDir, 'source');
  const place = placeOf(workDir);
  let name = readNote(path, place);
  return {
    get name() {
      return name;
    },
    forget() {
      name = undefined;
      rmSync(path, { force: true });
    },
    note(given) {
      writeFileSync(`${path}.new`, JSON.stringify({ name: given, place }), { mode: 0o600 });
      renameSync(`${path}.new`, path);
      name = given;
    },
  };
}

/** This directory since the machine was switched on: a number alone may have been given to a new one. */
function placeOf(dir: string): string {
  const { dev, ino, birthtimeMs } = statSync(dir);
  return `${bootId()} ${dev}:${ino}:${birthtimeMs}`;
}

function readNote(path: string, place: string): string | undefined {
  try {
    const note = noteSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
    return note.place === place ? note.name : undefined;
  } catch {
    return undefined; // none, or torn by a loss of power
  }
}
