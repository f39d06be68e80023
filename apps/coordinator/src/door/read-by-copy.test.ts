import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { readByCopy } from './read-by-copy.ts';

interface Ends extends AsyncDisposable {
  readonly near: Socket;
  readonly far: Socket;
}

async function connected(): Promise<Ends> {
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const far = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [accepted] = (await once(server, 'connection')) as [Socket];
  const near = readByCopy(accepted);
  return {
    near,
    far,
    async [Symbol.asyncDispose]() {
      near.destroy();
      far.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

test('every byte comes, in memory that holds nothing else of size, and so does the end', async () => {
  await using ends = await connected();
  const { near, far } = ends;
  const sent = [1, 40_000, 3, 300_000, 5].map((bytes, at) => Buffer.alloc(bytes, `${at}`));
  const got: Buffer[] = [];
  near.on('data', (piece: Buffer) => got.push(piece));
  for (const piece of sent) {
    far.write(piece);
    while (near.bytesRead < far.bytesWritten) await once(near, 'data');
  }
  far.end('.');
  await once(near, 'end');
  assert.ok(Buffer.concat(got).equals(Buffer.concat([...sent, Buffer.from('.')])));
  for (const { length, buffer } of got) if (length > 4 * 1024) assert.equal(buffer.byteLength, length);
  assert.equal(near.remoteAddress, '127.0.0.1');
});

test('nothing is read while its reader waits', async () => {
  await using ends = await connected();
  const { near, far } = ends;
  near.once('data', () => near.pause());
  far.write(Buffer.alloc(64 * 1024 * 1024));
  await once(near, 'data');
  for (let turns = 0; turns < 50; turns += 1) await new Promise((done) => setImmediate(done));
  const waiting = near.bytesRead;
  assert.ok(waiting < 1024 * 1024, `${waiting} bytes were read`);
  near.resume();
  while (near.bytesRead <= waiting + 1024 * 1024) await once(near, 'data');
});

test('what is answered arrives, and a client that is cut is an end', async () => {
  await using ends = await connected();
  const { near, far } = ends;
  near.write('hello');
  assert.equal(String((await once(far, 'data'))[0]), 'hello');
  const closed = new Promise((done) => near.on('error', () => undefined).once('close', done));
  near.resume();
  far.resetAndDestroy();
  await closed;
});
