import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { systemClock } from '@croft/runtime/clock';
import { openRelay } from './relay.ts';

test('what was sent before a connection closed arrives, also where the other side reads late', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'croft-relay-'));
  const at = { path: join(dir.path, 'near') };
  const to = { path: join(dir.path, 'far') };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(to);
  await once(server, 'listening');
  try {
    await using _ = await openRelay(at, to);
    for (let size = 200_000; size <= 300_000; size += 10_000) {
      const near = connect(at).on('error', () => undefined);
      const [far] = (await once(server, 'connection')) as [Socket];
      far.end(); // nothing comes back: the near end closes as soon as all was taken from it
      near.resume().end(Buffer.alloc(size));
      await once(near, 'close', { signal: systemClock.deadline(10_000) });
      for (let turn = 0; turn < 50; turn += 1) await nextTurn(); // until the relay knows as well
      assert.equal((await buffer(far)).length, size);
      near.destroy();
    }
  } finally {
    server.close();
  }
});
