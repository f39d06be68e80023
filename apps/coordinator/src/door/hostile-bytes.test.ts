/**
 * Thousands of strangers who send what no client would, at one door: none of them ends it, stays in it or makes it grow, and whoever comes with
 * a key gets in at once. Fast-check prints the seed of what failed.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import ssh2, { type Client } from 'ssh2';
import { MINUTE, SECOND, systemClock } from '@croft/runtime/clock';
import { silentLog, type Log } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { FakeClock } from '@croft/runtime/testing';
import { createMetrics } from '../events.ts';
import { fakeSession, fakeSessions } from '../sessions/testing.ts';
import { signSshKey } from './certificates.ts';
import { openDoor, type DoorDeps, type SshDoor } from './door.ts';
import { openFarmKeys } from './farm-keys.ts';
import { newKey } from './new-key.ts';
import type { People } from './people.ts';
import { parseKeyLine } from './public-key.ts';
import { openTestStore } from './testing.ts';
import { payloads, plainStreams } from './testing-packets.ts';

const seed = 20_261_129;
/** At once; more than the door takes of one address would be refused unread. */
const strangers = 16;
const host = '127.0.0.1';
const waitMs = 20 * SECOND;
const collect = gc();

const clock = new FakeClock(systemClock.now());
const bugs: unknown[] = [];
const log: Log = { ...silentLog, error: (message, fields) => void bugs.push([message, fields]) };
const metrics = createMetrics();
const ann = newKey();
const rsa = ssh2.utils.generateKeyPairSync('rsa', { bits: 2_048 });
const known: Buffer[] = [ann, rsa].map((pair) => parseKeyLine(pair.public).key.blob);
const note = (error: unknown): void => void bugs.push(error);
const stack = new AsyncDisposableStack();
let door: SshDoor;
let restBytes: number;

before(async () => {
  process.on('uncaughtExceptionMonitor', note).on('unhandledRejection', note);
  const database = stack.use(await openTestStore());
  const keys = await openFarmKeys(database);
  const session = fakeSession();
  const certificate = signSshKey(
    ann.public,
    { person: 'ann', place: { session, host } },
    { authority: keys.authority.pem, clock, random: systemRandom },
  );
  known.push(Buffer.from(certificate.split(' ')[1] ?? '', 'base64'));
  const sessions = fakeSessions();
  sessions.put(session);
  const person = { name: 'ann', role: 'developer' as const, repos: [] };
  const people = {
    withKey: async ({ blob }: { blob: Buffer }) => (blob.equals(known[0] as Buffer) ? [person] : []),
    named: async (name: string) => (name === 'ann' ? person : undefined),
    used: async () => undefined,
  } as unknown as People;
  const audit = { asked: async () => undefined, refused: async () => undefined };
  const deps = { clock, log, metrics, random: systemRandom, sessions, people, keys, host, audit, sshUser: () => undefined };
  door = stack.use(await openDoor({ listenHost: host, listenPort: 0 }, deps as unknown as DoorDeps));
  await fc.assert(strangersSay(plainStreams(known), sayPlainly), { seed, numRuns: 15 }); // code that is compiled, tables that grow once
  await fc.assert(strangersSay(messages(), sayInSecret), { seed, numRuns: 5 });
  restBytes = await heapAtRest();
});

after(async () => {
  process.off('uncaughtExceptionMonitor', note).off('unhandledRejection', note);
  await stack.disposeAsync();
});

afterEach(async () => {
  await comesIn();
  const grown = (await heapAtRest()) - restBytes;
  assert.ok(grown < 8 * 1024 * 1024, `${grown} bytes are kept`);
});

test('whatever bytes come first', async () => {
  await fc.assert(strangersSay(plainStreams(known), sayPlainly), { seed, numRuns: 125 });
});

test('whatever messages come once keys are agreed on', async () => {
  await fc.assert(strangersSay(messages(), sayInSecret), { seed, numRuns: 30 });
});

test('one byte at a time', async () => {
  await fc.assert(strangersSay(plainStreams(known), sayByBytes), { seed, numRuns: 3 });
});

test('who floods the door and reads nothing is shown out, and so is who says nothing', async () => {
  const silent = await arrive();
  const plain = await arrive();
  plain.write('SSH-2.0-flood\r\n');
  for (let sent = 0; sent < 20_000; sent += 1) plain.write(Buffer.from('0000000c0a020000000000000000000000', 'hex'));
  const secret = await arrive();
  const client = await agreed(secret);
  secret.pause();
  for (let sent = 0; sent < 20_000; sent += 1) send(client, Buffer.from('\x05\0\0\0\x0cssh-userauth', 'latin1'));
  await Promise.all([gone(plain), gone(secret)]);
  await clock.advance(31 * SECOND);
  await gone(silent);
  const counted = await metrics.text();
  assert.match(counted, /limited_total\{limit="bytes"\} [12]\n/); // the library itself knows a message that comes too early
  assert.match(counted, /limited_total\{limit="time"\} 1\n/);
});

function messages(): fc.Arbitrary<Buffer[]> {
  return fc.array(payloads(known), { minLength: 1, maxLength: 12 });
}

/** A crowd at once, all of whom the door lets go. */
function strangersSay<Said>(said: fc.Arbitrary<Said>, say: (said: Said) => Promise<void>): fc.IAsyncProperty<[Said[]]> {
  return fc.asyncProperty(fc.array(said, { minLength: strangers, maxLength: strangers }), async (all) => {
    await Promise.all(all.map(say));
    await atRest();
    await clock.advance(6 * MINUTE); // their failed logins are forgotten
    assert.deepEqual(bugs.splice(0), []);
  });
}

async function sayPlainly(content: Buffer): Promise<void> {
  const socket = await arrive();
  socket.end(content);
  await gone(socket);
}

async function sayByBytes(content: Buffer): Promise<void> {
  const socket = await arrive();
  for (const byte of content.subarray(0, 300)) {
    if (socket.destroyed) return;
    socket.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
  await gone(socket);
}

interface Inside {
  readonly _protocol: {
    readonly _packetRW: {
      readonly write: { readonly allocStart: number; alloc(length: number): Buffer; finalize(packet: Buffer): Buffer };
    };
    readonly _cipher: { encrypt(packet: Buffer): void };
  };
}

async function sayInSecret(contents: readonly Buffer[]): Promise<void> {
  const socket = await arrive();
  const client = await agreed(socket);
  for (const content of contents) send(client, content);
  socket.end();
  await gone(socket);
}

/** The library's own client, once it has agreed on keys; it says nothing more of itself. */
async function agreed(sock: Socket): Promise<Client> {
  const client = new ssh2.Client().on('error', () => undefined);
  client.connect({ sock, username: 'ann-linux-0', authHandler: () => undefined } as never);
  await once(client, 'handshake', { signal: systemClock.deadline(waitMs) });
  return client;
}

function send(client: Client, content: Buffer): void {
  const { _packetRW, _cipher } = (client as unknown as Inside)._protocol;
  const packet = _packetRW.write.alloc(content.length);
  packet.set(content, _packetRW.write.allocStart);
  _cipher.encrypt(_packetRW.write.finalize(packet));
}

type Stranger = Socket & { readonly left: Promise<void> };

async function arrive(): Promise<Stranger> {
  const socket = connect({ port: door.port, host, noDelay: true });
  const left = new Promise<void>((resolve) => socket.on('error', () => undefined).once('close', () => resolve()));
  await once(socket, 'connect');
  return Object.assign(socket, { left });
}

/** A reset will do. */
async function gone(stranger: Stranger): Promise<void> {
  const over = new AbortController();
  const late = systemClock.sleep(waitMs, { signal: over.signal }).then(
    () => assert.fail('the door keeps somebody'),
    () => undefined,
  );
  stranger.resume();
  await Promise.race([stranger.left, late]).finally(() => over.abort());
}

async function comesIn(): Promise<void> {
  const client = new ssh2.Client();
  client.connect({ host, port: door.port, username: 'ann-linux-0', privateKey: ann.private });
  await once(client, 'ready', { signal: systemClock.deadline(waitMs) });
  client.end();
  await once(client, 'close');
  await atRest();
}

/** Nobody is connected, as whoever watches the farm is told. */
async function atRest(): Promise<void> {
  const deadline = systemClock.deadline(waitMs);
  for (;;) {
    const counted = await metrics.text();
    if (/of="strangers"\} 0\n/.test(counted) && /of="guests"\} 0\n/.test(counted)) return;
    deadline.throwIfAborted();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function heapAtRest(): Promise<number> {
  await atRest();
  collect();
  return process.memoryUsage().heapUsed;
}

function gc(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
