/** The line of a terminal, against a farm that cuts it anywhere. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TerminalNotice } from '@croft/protocol/terminal';
import { createTyped, TerminalLine, type LineEars, type LineWorld, type Socket, type SocketEars } from './terminal-line.ts';

interface Wire {
  readonly query: Record<string, string>;
  readonly sent: string[];
  readonly ears: SocketEars;
  isClosed: boolean;
}

interface Scene {
  readonly wires: Wire[];
  readonly heard: string[];
  readonly line: TerminalLine;
  refusal: string | undefined;
  /** The last one. */
  wire(): Wire;
  tell(notice: TerminalNotice): void;
  show(text: string): void;
  /** Ends the wire from the other side, and lets the time pass until the next. */
  cut(): void;
  pass(ms: number): void;
}

function openScene(): Scene {
  const wires: Wire[] = [];
  const heard: string[] = [];
  let timers: { at: number; task: () => void }[] = [];
  let now = 0;
  const world: LineWorld = {
    connect(query, ears) {
      const wire: Wire = { query: Object.fromEntries(query), sent: [], ears, isClosed: false };
      wires.push(wire);
      const socket: Socket = {
        send: (data) => void wire.sent.push(typeof data === 'string' ? data : `> ${Buffer.from(data).toString()}`),
        close: () => void (wire.isClosed = true),
      };
      return socket;
    },
    refusal: async () => scene.refusal,
    after(ms, task) {
      const timer = { at: now + ms, task };
      timers.push(timer);
      return () => (timers = timers.filter((other) => other !== timer));
    },
  };
  const ears: LineEars = {
    onAttached: ({ run }, continues) => heard.push(`${continues ? 'goes on' : 'begins'} ${run}`),
    onOutput: (bytes, upTo) => heard.push(`${Buffer.from(bytes).toString()} @${upTo}`),
    onGap: () => heard.push('gap'),
    onState: (state) => heard.push(state),
    onEnded: ({ kind }) => heard.push(`ended ${kind}`),
    onRefused: (why) => heard.push(`refused ${why}`),
    onFull: () => heard.push('full'),
  };
  const wire = (): Wire => wires.at(-1) ?? assert.fail('nothing was connected');
  const pass = (ms: number): void => {
    now += ms;
    const due = timers.filter((timer) => timer.at <= now);
    timers = timers.filter((timer) => timer.at > now);
    for (const { task } of due) task();
  };
  const scene: Scene = {
    wires,
    heard,
    line: new TerminalLine(world, ears, { cols: 80, rows: 24 }),
    refusal: undefined,
    wire,
    tell: (notice) => wire().ears.onMessage(JSON.stringify(notice)),
    show: (text) => wire().ears.onMessage(new Uint8Array(Buffer.from(text)).buffer),
    cut() {
      wire().ears.onClose();
      pass(5_000);
    },
    pass,
  };
  return scene;
}

function attached(scene: Scene, over: Partial<Extract<TerminalNotice, { kind: 'attached' }>> = {}, taken = 0): void {
  scene.tell({ kind: 'attached', run: 'sh-1', fresh: true, from: 0, length: 0, ...over });
  scene.tell({ kind: 'taken', upTo: taken });
}

test('a line that breaks is opened again at the byte that came last, with the size of then', () => {
  const scene = openScene();
  assert.deepEqual(scene.wire().query, { cols: '80', rows: '24' });
  attached(scene);
  scene.show('hello');
  scene.line.resize({ cols: 100, rows: 30 });
  scene.cut();
  assert.deepEqual(scene.wire().query, { cols: '100', rows: '30', run: 'sh-1', from: '5' });
  attached(scene, { from: 5, length: 9 });
  scene.show('more');
  assert.deepEqual(scene.heard.slice(2), ['connected', 'hello @5', 'broken', 'connecting', 'goes on sh-1', 'connected', 'more @9']);
});

test('what is typed while the line is broken waits, and what was under way goes again unless it was taken', () => {
  const scene = openScene();
  scene.line.type(Buffer.from('before'));
  assert.deepEqual(scene.wire().sent, [], 'nothing before the shell is there');
  attached(scene, {}, 100);
  scene.line.type(Buffer.from('abc'));
  scene.tell({ kind: 'taken', upTo: 106 });
  assert.deepEqual(scene.wire().sent, ['> before', '> abc']);
  scene.wire().ears.onClose();
  scene.line.type(Buffer.from('xyz'));
  scene.pass(5_000);
  attached(scene, {}, 108); // "ab" was taken, and that never told
  assert.deepEqual(scene.wire().sent, ['> c', '> xyz']);
});

test('a line on which nothing comes is given up and opened again', () => {
  const scene = openScene();
  attached(scene);
  scene.pass(39_000);
  scene.tell({ kind: 'here' });
  scene.pass(39_000);
  assert.equal(scene.wires.length, 1);
  scene.pass(2_000);
  assert.ok(scene.wires[0]?.isClosed);
  scene.pass(5_000);
  assert.equal(scene.wires.length, 2);
});

test('after the end, or a refusal in words, nothing is tried again; another shell may be begun', () => {
  const scene = openScene();
  attached(scene);
  scene.tell({ kind: 'ended', exit: { kind: 'exited', code: 0 } });
  scene.cut();
  assert.equal(scene.wires.length, 1);
  scene.line.attach('new');
  assert.deepEqual(scene.wire().query, { cols: '80', rows: '24', run: 'new' });
  scene.tell({ kind: 'refused', code: 'conflict', message: 'it has ended', hint: 'Make another' });
  scene.cut();
  assert.equal(scene.wires.length, 2);
  assert.deepEqual(scene.heard.slice(-1), ['refused it has ended. Make another']);
});

test('who may not come in is told so instead of trying for ever; a farm that is away is tried for ever', async () => {
  const scene = openScene();
  for (let tries = 0; tries < 20; tries += 1) {
    scene.cut();
    await Promise.resolve();
  }
  assert.equal(scene.wires.length, 21);
  scene.refusal = 'sign in again';
  scene.wire().ears.onClose();
  await Promise.resolve();
  await Promise.resolve();
  scene.pass(60_000);
  assert.equal(scene.wires.length, 21);
  assert.deepEqual(scene.heard.slice(-1), ['refused sign in again']);
});

test('a message of a wire that was given up counts for nothing', () => {
  const scene = openScene();
  attached(scene);
  const old = scene.wire();
  scene.line.attach('sh-2');
  old.ears.onMessage(new Uint8Array(Buffer.from('late')).buffer);
  old.ears.onClose();
  assert.equal(scene.wires.length, 2);
  assert.ok(!scene.heard.some((one) => one.includes('late')));
});

test('however the line is cut, a shell gets what was typed once and in order', () =>
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 6 }), fc.nat(4), fc.constant('\0cut' as const))),
      (steps) => {
        let shell = '';
        let wire: string[] = [];
        const typed = createTyped((piece) => wire.push(Buffer.from(piece).toString()));
        /** The shell takes the first `count` messages; the page is told of all but those that a cut swallowed. */
        const take = (count: number, told: boolean): void => {
          for (const piece of wire.splice(0, count)) {
            shell += piece;
            if (told) typed.taken(shell.length);
          }
        };
        typed.taken(0);
        let all = '';
        for (const step of steps) {
          if (step === '\0cut') {
            typed.hold();
            take(wire.length >> 1, false);
            wire = [];
            typed.taken(shell.length);
          } else if (typeof step === 'number') take(step, true);
          else {
            all += step;
            assert.ok(typed.type(Buffer.from(step)));
          }
        }
        for (let rounds = 0; wire.length > 0; rounds += 1) take(1, rounds >= 0);
        assert.equal(shell, all);
      },
    ),
  ));

test('no more is kept than fits, and no more is under way than the farm reads', () => {
  let sent = 0;
  const typed = createTyped((piece) => (sent += piece.length));
  typed.taken(0);
  assert.ok(typed.type(new Uint8Array(4 * 1024 * 1024)));
  assert.ok(sent <= 80 * 1024, `${sent} bytes under way`);
  assert.equal(typed.type(new Uint8Array(1024 * 1024)), false);
});
