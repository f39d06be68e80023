/** Room on the disk of the work directory for what is being written: a bomb ends at the low-water mark, and so do several together. */
import { statfs } from 'node:fs/promises';
import { CroftError } from '@croft/runtime/errors';

export interface Room {
  /** For one writer, until it is disposed. @throws CroftError `exhausted` below the low-water mark */
  open(what: string): Promise<Share>;
}

export interface Share extends Disposable {
  /** Called before so many bytes in all are written. @throws CroftError `exhausted` when there is no room for them */
  take(size: number): Promise<void>;
}

/** Looked again at after a quarter of what there was room for, within these bounds: others write, too. */
const looks = { least: 1024 * 1024, most: 64 * 1024 * 1024 };

export function createRoom(workDir: string, lowWaterBytes: number): Room {
  let writers = 0;
  const perWriter = async (what: string): Promise<number> => {
    const { bavail, bsize } = await statfs(workDir);
    const left = bavail * bsize - lowWaterBytes;
    if (left >= 0) return left / Math.max(1, writers);
    throw new CroftError('exhausted', `${what}: the disk is below its low-water mark`, { hint: 'Free disk space on the worker.' });
  };
  return {
    async open(what) {
      await perWriter(what);
      writers += 1;
      let taken = 0;
      let given = 0;
      let lookAt = 0;
      return {
        async take(size) {
          if (size > lookAt) {
            const left = await perWriter(what);
            given = taken + left;
            lookAt = size + Math.min(looks.most, Math.max(looks.least, left / 4));
          }
          taken = size;
          if (size > given) throw new CroftError('exhausted', `${what}: there is no room left on the disk`);
        },
        [Symbol.dispose]() {
          writers -= 1;
        },
      };
    },
  };
}
