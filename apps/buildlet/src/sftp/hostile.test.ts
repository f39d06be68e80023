/** What comes from a client that means harm, or is broken: any bytes, any lengths, any order. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair, type Duplex } from 'node:stream';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { maxHandles } from './handles.ts';
import { maxPacketBytes, packetsOf } from './packets.ts';
import { serveSftp } from './server.ts';
import { kinds, packet, statuses, type Field } from './wire.ts';

let dir = '';
before(async () => void (dir = await mkdtemp(join(tmpdir(), 'croft-sftp-'))));
after(() => rm(dir, { recursive: true }));

const text = (value: string): Buffer => Buffer.from(value);

interface Client extends AsyncDisposable {
  readonly line: Duplex;
  readonly served: Promise<void>;
  ask(kind: number, ...fields: Field[]): Promise<Buffer>;
  next(): Promise<Buffer>;
}

async function begun(): Promise<Client> {
  const [line, far] = duplexPair();
  const served = serveSftp(far, { dir, now: () => 0 });
  const replies = packetsOf(line);
  const next = async (): Promise<Buffer> => {
    const reply = await replies.next();
    return reply.done ? assert.fail('the server has gone') : Buffer.from(reply.value);
  };
  line.write(packet(kinds.init, 3));
  assert.equal((await next())[0], kinds.version);
  let id = 0;
  return {
    line,
    served,
    next,
    ask(kind, ...fields) {
      line.write(packet(kind, (id += 1), ...fields));
      return next();
    },
    async [Symbol.asyncDispose]() {
      line.destroy();
      far.destroy();
      await served;
    },
  };
}

const statusOf = (reply: Buffer): number => (reply[0] === kinds.status ? reply.readUInt32BE(5) : -1);
const handleOf = (reply: Buffer): Buffer => reply.subarray(9, 9 + reply.readUInt32BE(5));

test('packets come as they were written, wherever they are cut', async () => {
  const packets = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(packets, fc.array(fc.nat(500), { maxLength: 10 }), async (bodies, places) => {
      const whole = Buffer.concat(bodies.map((body) => packet(body[0] ?? 0, { raw: Buffer.from(body.subarray(1)) })));
      const [near, far] = duplexPair();
      const at = [0, ...places.map((place) => place % (whole.length + 1)).toSorted((a, b) => a - b), whole.length];
      for (const [index, to] of at.slice(1).entries()) near.write(whole.subarray(at[index], to));
      near.end();
      const found: Buffer[] = [];
      for await (const bytes of packetsOf(far)) found.push(Buffer.from(bytes));
      assert.deepEqual(
        found,
        bodies.map((body) => Buffer.from(body)),
      );
    }),
  );
});

test('any bytes end in answers or the end of the connection, and nothing else', async () => {
  const anyKind = fc.oneof(fc.nat(255), fc.constantFrom(...Object.values(kinds)));
  const harmful = new Set<number>([kinds.remove, kinds.rename, kinds.rmdir, kinds.setstat]);
  const requests = fc.array(
    fc.tuple(
      anyKind.filter((kind) => !harmful.has(kind)),
      fc.uint8Array({ maxLength: 60 }),
    ),
    { maxLength: 8 },
  );
  await fc.assert(
    fc.asyncProperty(requests, fc.uint8Array({ maxLength: 20 }), async (asked, last) => {
      await using client = await begun();
      for (const [kind, body] of asked) client.line.write(packet(kind, { raw: Buffer.from(body) }));
      client.line.end(Buffer.from(last));
      client.line.resume();
      await client.served;
    }),
    { numRuns: 150 },
  );
});

test('a length that no packet has, or another beginning, ends the connection and takes no memory', async () => {
  for (const length of [0, maxPacketBytes + 1, 0xffff_ffff]) {
    await using client = await begun();
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length);
    client.line.resume().write(head);
    await client.served;
  }
  const [line, far] = duplexPair();
  line.write(packet(kinds.realpath, 1, text('.')));
  await serveSftp(far, { dir, now: () => 0 });
});

test('lengths within a packet that point beyond it are told, and the next request is served', async () => {
  await using client = await begun();
  for (const kind of [kinds.open, kinds.write, kinds.stat, kinds.symlink, kinds.setstat, kinds.extended, kinds.read]) {
    assert.equal(statusOf(await client.ask(kind, 0xffff_ffff)), statuses.badMessage);
    assert.equal(statusOf(await client.ask(kind)), statuses.badMessage);
  }
  const endless = [text('x'), 0x8000_0000, 0xffff_ffff] as const; // as many extended attributes
  assert.equal(statusOf(await client.ask(kinds.setstat, ...endless)), statuses.badMessage);
  assert.equal(statusOf(await client.ask(kinds.stat, text('a\0b'))), statuses.badMessage);
  assert.equal(statusOf(await client.ask(99)), statuses.unsupported);
  assert.equal(statusOf(await client.ask(kinds.extended, text('copy-data'))), statuses.unsupported);
  assert.equal((await client.ask(kinds.realpath, text('.')))[0], kinds.name);
});

test('handles that are none, of the other kind, or too many are refused', async () => {
  await using client = await begun();
  await writeFile(join(dir, 'file'), 'content');
  const openFile = (): Promise<Buffer> => client.ask(kinds.open, text('file'), 1, 0);
  const file = handleOf(await openFile());
  const directory = handleOf(await client.ask(kinds.opendir, text('.')));
  for (const none of [text(''), text('abcdefgh'), Buffer.alloc(4, 0xff)]) {
    assert.equal(statusOf(await client.ask(kinds.read, none, 0n, 10)), statuses.failure);
    assert.equal(statusOf(await client.ask(kinds.close, none)), statuses.failure);
  }
  assert.equal(statusOf(await client.ask(kinds.read, directory, 0n, 10)), statuses.failure);
  assert.equal(statusOf(await client.ask(kinds.readdir, file)), statuses.failure);
  assert.equal(statusOf(await client.ask(kinds.read, file, 0xffff_ffff_ffff_ffffn, 10)), statuses.failure);
  assert.equal(statusOf(await client.ask(kinds.read, file, 7n, 10)), statuses.eof);
  for (let open = 2; open < maxHandles; open += 1) assert.equal((await openFile())[0], kinds.handle);
  assert.equal(statusOf(await openFile()), statuses.failure);
  assert.equal(statusOf(await client.ask(kinds.close, file)), statuses.ok);
  assert.equal((await openFile())[0], kinds.handle);
});

test('a fifo that nobody writes to holds nobody up', async () => {
  await using client = await begun();
  execFileSync('mkfifo', [join(dir, 'fifo')]);
  const opened = await client.ask(kinds.open, text('fifo'), 1, 0);
  assert.equal(opened[0], kinds.handle);
  assert.equal(statusOf(await client.ask(kinds.read, handleOf(opened), 0n, 10)), statuses.failure);
  await client.ask(kinds.close, handleOf(opened));
  assert.equal(statusOf(await client.ask(kinds.open, text('fifo'), 2, 0)), statuses.failure);
});

test('answers to reads that were asked together come in their order, to a client that reads slowly', async () => {
  const content = Buffer.alloc(5_000_000, 'abcdefghij');
  await writeFile(join(dir, 'large'), content);
  await using client = await begun();
  const handle = handleOf(await client.ask(kinds.open, text('large'), 1, 0));
  const length = 100_000;
  for (let n = 0; n < 50; n += 1) client.line.write(packet(kinds.read, 1_000 + n, handle, BigInt(n * length), length));
  for (let n = 0; n < 50; n += 1) {
    const reply = await client.next();
    assert.deepEqual([reply[0], reply.readUInt32BE(1), reply.readUInt32BE(5)], [kinds.data, 1_000 + n, length]);
    assert.ok(reply.subarray(9).equals(content.subarray(n * length, (n + 1) * length)));
  }
});

test(
  'a client that leaves in the middle leaves no file open',
  { skip: existsSync('/proc/self/fd') ? false : 'no /proc here' },
  async () => {
    const openFiles = (): number => readdirSync('/proc/self/fd').length;
    const client = await begun();
    const before_ = openFiles();
    const handle = handleOf(await client.ask(kinds.open, text('left'), 2 | 8, 0));
    client.line.write(packet(kinds.write, 5, handle, 0n, text('half')));
    client.line.end(Buffer.of(0, 0, 1, 0, 6));
    assert.equal(statusOf(await client.next()), statuses.ok);
    await client.served;
    assert.equal(openFiles(), before_);
    assert.equal(await readFile(join(dir, 'left'), 'utf8'), 'half');
  },
);
