import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { silentLog } from '@croft/runtime/log';
import { serve } from './listener.ts';
import { createPeerUid, peerUidFrom } from './peer-uid.ts';
import { fakeConnection } from './testing.ts';

const header = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const line = (ends: string, state: string, uid: number, inode = 4711): string =>
  `   3: ${ends} ${state} 00000000:00000000 00:00000000 00000000  ${uid}        0 ${inode} 1 00000000bb31b478 20 4 30 10 -1                     \n`;
const peer = '0100007F:9C40 0100007F:1F90';
const ours = '0100007F:1F90 0100007F:9C40';
const mapped = '0000000000000000FFFF00000100007F:9C40 0000000000000000FFFF00000100007F:1F90';
const v6 = '00000000000000000000000001000000:9C40 00000000000000000000000001000000:1F90';

const look = (tables: string[], over = {}): Promise<number | undefined> => peerUidFrom(async () => tables)(fakeConnection(over));

describe('the socket tables', () => {
  test('tell the user at the other end, not at ours', async () => {
    assert.equal(await look([header + line(ours, '01', 1) + line(peer, '01', 1001)]), 1001);
  });

  test('hold IPv6 and mapped peers in the second one', async () => {
    assert.equal(await look([header, header + line(mapped, '01', 1002)]), 1002);
    assert.equal(await look([header, header + line(v6, '01', 1003)], { remoteAddress: '::1', localAddress: '::1' }), 1003);
  });

  test('do not count for a socket that was closed, which they list as owned by root', async () => {
    assert.equal(await look([header + line(peer, '05', 0)]), undefined);
    assert.equal(await look([header + line(peer, '06', 0, 0)]), undefined);
    assert.equal(await look([header + line(peer, '01', 0, 0)]), undefined);
  });

  test('do not count for another port', async () => {
    assert.equal(await look([header + line('0100007F:9C41 0100007F:1F90', '01', 1000)]), undefined);
  });

  test('are read again when a line was skipped, and once for a connection', async () => {
    let reads = 0;
    const lookUp = peerUidFrom(async () => {
      reads += 1;
      return [reads === 1 ? header : header + line(peer, '01', 7)];
    });
    const connection = fakeConnection();
    assert.equal(await lookUp(connection), 7);
    assert.equal(await lookUp(connection), 7);
    assert.equal(reads, 2);
  });
});

describe('a real connection', { skip: process.platform === 'linux' ? false : 'only Linux tells who is at the other end' }, () => {
  for (const host of ['127.0.0.1', '::1', '::']) {
    test(`of this user to ${host}`, async () => {
      assert.equal(await uidSeen(host), process.getuid?.());
    });
  }

  test('of another user', { skip: process.getuid?.() === 0 ? false : 'only root can become another user' }, async () => {
    assert.equal(await uidSeen('127.0.0.1', 65_534), 65_534);
  });
});

/** What the server sees of a child that runs as `uid`. */
async function uidSeen(host: string, uid?: number): Promise<number | undefined> {
  const peerUid = createPeerUid();
  assert.ok(peerUid);
  const seen = Promise.withResolvers<number | undefined>();
  await using listener = await serve(
    async (_, connection) => {
      seen.resolve(await peerUid(connection));
      return new Response('thanks');
    },
    { host, port: 0, log: silentLog },
  );
  const url = host === '::' ? `http://127.0.0.1:${listener.port}/` : `${listener.url}/`;
  const script = `fetch(${JSON.stringify(url)}).then((answer) => answer.text()).then(console.log)`;
  const child = spawn(process.execPath, ['-e', script], {
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  const [said] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  assert.equal(said, 'thanks\n');
  return seen.promise;
}
