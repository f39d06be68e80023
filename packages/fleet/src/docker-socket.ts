/**
 * A connection to the buildlet in a container. What runs in there can put anything in the place of its socket: a link would lead to
 * another program of this computer. So exactly what has the name is opened, without following, and reached by its descriptor.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { CroftError } from '@croft/runtime/errors';

/** Linux's O_PATH: it is only named, neither read nor written. */
const pathOnly = 0o10000000;

/** @throws CroftError `forbidden` for anything but a socket, and what the system says */
export async function dialSocket(path: string, { signal }: { readonly signal: AbortSignal }): Promise<Socket> {
  const named = await open(path, pathOnly | constants.O_NOFOLLOW);
  try {
    if (!(await named.stat()).isSocket()) {
      throw new CroftError('forbidden', `${path} is not a socket any more: what runs in the container has put something else there`);
    }
    const socket = connect({ path: `/proc/self/fd/${named.fd}` });
    try {
      await once(socket, 'connect', { signal });
    } catch (error) {
      socket.destroy();
      throw error;
    }
    return socket;
  } finally {
    await named.close();
  }
}
