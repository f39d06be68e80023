/**
 * The ids that were collected under the present epoch: a late repeat of a start must not run their commands again. An older epoch's need
 * no remembering, since the fence refuses whoever would repeat them. So one small file is enough, however long the machine lives.
 * @see docs/protocols/runs.md#ids
 */
import { closeSync, openSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { CroftError } from '@croft/runtime/errors';
import { appendLine, readIfThere } from '../state/durable.ts';

/** Many times what one attempt collects, its own runs and those that others left; about 10 MB. */
const maxIds = 100_000;

export interface Collected {
  /** The file; it stays the same one. */
  readonly path: string;
  has(id: string): boolean;
  /** Durable when this resolves. @throws CroftError `exhausted` when there are too many under one epoch, or the disk is full */
  add(id: string): Promise<void>;
}

/** @param epoch the highest that was seen, now and later */
export async function openCollected(stateDir: string, epoch: () => number): Promise<Collected> {
  const path = join(stateDir, 'collected-ids');
  let under = epoch();
  let ids = parseIds((await readIfThere(path)) ?? '', under);
  closeSync(openSync(path, 'a', 0o600));
  return {
    path,
    has: (id) => under === epoch() && ids.has(id),
    async add(id) {
      const isNew = under !== epoch();
      if (isNew) {
        under = epoch();
        ids = new Set();
      }
      if (ids.size >= maxIds) {
        throw new CroftError('exhausted', `collect run ${id}: ${maxIds} were collected under epoch ${under}`, {
          hint: 'Take a higher epoch.',
        });
      }
      if (isNew) truncateSync(path);
      await appendLine(path, `${under} ${id} .`);
      ids.add(id);
    },
  };
}

/** Lines `EPOCH ID .`, each begun anew: of one that the loss of power tore, nobody was told, and it lacks its end. */
function parseIds(text: string, epoch: number): Set<string> {
  const lines = text.split('\n').map((line) => line.split(' '));
  return new Set(lines.flatMap(([under, id, end]) => (Number(under) === epoch && id !== undefined && end === '.' ? [id] : [])));
}
