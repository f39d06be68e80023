/**
 * Thousands of machines with nothing to do, in a process of their own: each keeps a line to the coordinator, speaks every 5 s, and dials
 * again when the line is lost. What the row is told: how many lines stand, and how often anything was picked up.
 */
import { connect, type TLSSocket } from 'node:tls';
import { systemClock } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';
import { createLineDecoder, encodeLine, liveness } from '@croft/streams/revdial-line';
import { requestSwitch } from '@croft/streams/revdial-switch';

export interface IdleLinesOptions {
  readonly port: number;
  readonly hostType: string;
  readonly key: string;
  /** Names of the machines: `PREFIX0` and so on. */
  readonly prefix: string;
  readonly count: number;
}

export interface IdleLinesReport {
  readonly open: number;
  /** When the newest of them was opened, epoch ms. */
  readonly openedAt: number;
  readonly pickUps: number;
  readonly trouble: string;
}

/** Handshakes under way at once. */
const atOnce = 64;
const keepAlive = encodeLine({ command: 'keep-alive' });

const options = JSON.parse(process.argv[2] ?? '{}') as IdleLinesOptions;
const open = new Map<number, TLSSocket>();
/** How often each machine began anew. */
const halts = new Map<number, number>();
let openedAt = 0;
let pickUps = 0;
let trouble = '';
/** So that those who come back need no full handshake. */
let session: Buffer | undefined;

async function dialIn(index: number): Promise<void> {
  const host = `${options.prefix}${index}`;
  const boot = `${host}.${halts.get(index) ?? 0}`;
  const socket = connect({ host: '127.0.0.1', port: options.port, rejectUnauthorized: false, ...(session && { session }) });
  socket.on('error', () => undefined).on('session', (given) => (session = given));
  const headers = {
    'User-Agent': 'Go-http-client/1.1',
    'X-Go-Builder-Hostname': host,
    'X-Go-Builder-Key': options.key,
    'X-Go-Builder-Version': '29',
    'X-Go-Host-Type': options.hostType,
    'X-Revdial-Version': '2',
    'Croft-Boot': boot,
  };
  await requestSwitch(socket, { path: '/reverse', headers }, { signal: systemClock.deadline(30_000) });
  const decode = createLineDecoder();
  socket.on('data', (bytes: Buffer) => {
    for (const { command } of decode(bytes)) {
      if (command !== 'conn-ready') continue;
      pickUps += 1;
      // One that came back too late is told to begin anew. Nothing else is asked of an idle one.
      halts.set(index, (halts.get(index) ?? 0) + 1);
      socket.destroy();
    }
  });
  socket.once('close', () => {
    open.delete(index);
    waiting.push(index);
  });
  const status = { boot, epoch: 0, runs: 0, freeBytes: 50e9, lowDisk: false, cpus: 4, memoryBytes: 8e9, pid: 1000 + index };
  socket.write(encodeLine({ command: 'status', status }));
  open.set(index, socket);
  openedAt = systemClock.now();
}

const waiting = Array.from({ length: options.count }, (_, index) => index);

async function keepDialling(): Promise<void> {
  for (;;) {
    const index = waiting.shift();
    if (index === undefined) {
      await systemClock.sleep(20);
      continue;
    }
    try {
      await dialIn(index);
    } catch (error) {
      trouble = errorText(error);
      waiting.push(index);
      await systemClock.sleep(50);
    }
  }
}

for (let turn = 0; turn < atOnce; turn += 1) void keepDialling();
// A tenth of them at a time, so that they do not all speak at once.
for (let turn = 0; ; turn += 1) {
  await systemClock.sleep(liveness.pingMs / 10);
  for (const [index, socket] of open) if (index % 10 === turn % 10) socket.write(keepAlive);
  const report: IdleLinesReport = { open: open.size, openedAt, pickUps, trouble };
  process.send?.(report);
}
