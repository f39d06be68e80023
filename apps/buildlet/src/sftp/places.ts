/** Paths of a client: absolute, or below the directory where it began. Names may hold any bytes. */
import { realpath } from 'node:fs/promises';
import { systemCode } from '@croft/runtime/errors';

export interface Places {
  /** Absolute; links are left to the system. */
  at(path: Buffer): Buffer;
  /** Without links and dots; its last name need not be there. */
  real(path: Buffer): Promise<Buffer>;
}

const slash = 0x2f;

export function createPlaces(dir: string): Places {
  const start = Buffer.from(`${dir}/`);
  const at = (path: Buffer): Buffer => (path[0] === slash ? Buffer.from(path) : Buffer.concat([start, path]));
  return {
    at,
    async real(path) {
      const whole = at(path);
      try {
        return await realpath(whole, 'buffer');
      } catch (error) {
        if (systemCode(error) !== 'ENOENT') throw error;
        const [parent, name] = split(whole);
        return joined(await realpath(parent, 'buffer'), name);
      }
    },
  };
}

function split(path: Buffer): [parent: Buffer, name: Buffer] {
  let end = path.length;
  while (end > 1 && path[end - 1] === slash) end -= 1;
  const cut = path.lastIndexOf(slash, end - 1);
  return [path.subarray(0, Math.max(cut, 1)), path.subarray(cut + 1, end)];
}

function joined(parent: Buffer, name: Buffer): Buffer {
  return parent.length === 1 ? Buffer.concat([parent, name]) : Buffer.concat([parent, Buffer.of(slash), name]);
}
