/** Shells on a real buildlet: found again, shared, hung up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import { startTestBuildlet } from '@croft/buildlet/testing';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import type { Piece } from './runs/follow-output.ts';
import type { Entered, Sessions } from './sessions.ts';
import type { Shell } from './shell.ts';
import { createShells, type Shells, type ShellWish } from './shells.ts';
import { withPlainShells } from './testing-shells.ts';
import { fakeSession, fakeSessions } from './testing.ts';

const waits = { signal: systemClock.deadline(60_000) };
const ann = { name: 'ann', role: 'developer', repos: [] } as const;
const bob = { ...ann, name: 'bob' };

interface Stage extends AsyncDisposable {
  readonly shells: Shells;
  readonly audited: string[];
  readonly buildlet: Buildlet;
  readonly sessions: Sessions;
  /** As after a restart of the coordinator: knows nothing of who is attached. */
  again(): Shells;
}

async function openStage(): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const machine = stack.use(await startTestBuildlet());
  const buildlet = withPlainShells(stack.use(createBuildlet(machine.address, { clock: systemClock })));
  const sessions = fakeSessions({ buildlet, ground: { dir: '.', env: { CI: 'true', PS1: '$ ' } } });
  sessions.put(fakeSession({ sharedWith: ['bob'] }));
  const audited: string[] = [];
  const audit = {
    asked: async ({ who, what, target }: { who: string; what: string; target: string }) => void audited.push(`${who} ${what} ${target}`),
  };
  const again = (): Shells => createShells({ clock: systemClock, random: systemRandom, audit, log: silentLog });
  const owned = stack.move();
  return { shells: again(), audited, buildlet, sessions, again, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function wish(over: Partial<ShellWish> = {}): ShellWish {
  return { terminal: { cols: 80, rows: 24, term: 'xterm' }, by: { who: 'ann', from: '::1' }, ...over };
}

/** Reads until the text has come; answers everything and where it ends. */
async function until(shell: Shell, text: string, from = 0): Promise<{ shown: string; at: number }> {
  let shown = '';
  let at = from;
  const enough = new AbortController();
  const take = (piece: Piece): undefined => {
    shown += piece.bytes.toString();
    at = piece.from + piece.bytes.length;
    if (shown.includes(text)) enough.abort();
  };
  try {
    await shell.follow(from, take, { signal: enough.signal });
  } catch (error) {
    if (enough.signal.aborted) return { shown, at };
    throw error;
  }
  throw new Error(`the shell ended without ${JSON.stringify(text)}: ${shown}`);
}

const type = (shell: Shell, text: string): void => void shell.write(Buffer.from(text)).catch(() => undefined);

test('a shell has the session’s environment and directory, the terminal’s size, and one audit entry', async () => {
  await using stage = await openStage();
  using entered = await stage.sessions.enter(ann, 'S00000000000000a1');
  await using shell = await stage.shells.open(ann, entered, wish({ env: { LANG: 'C.UTF-8' } }), waits);
  type(shell, 'echo "$CI $LANG $(pwd) $(stty size)" end\n');
  const { shown } = await until(shell, '24 80 end');
  assert.ok(shown.includes(`true C.UTF-8 ${entered.ground.workDir} 24 80`), shown);
  assert.deepEqual(stage.audited, [`ann session.shell S00000000000000a1/${shell.name}`]);
  assert.ok(shell.isFresh);
});

test('a shell whose client was lost is found by entering again, also after a restart, and shows what was missed', async () => {
  await using stage = await openStage();
  using entered = await stage.sessions.enter(ann, 'S00000000000000a1');
  const lost = await stage.shells.open(ann, entered, wish(), waits);
  type(lost, 'x=kept; echo rea"dy"; sleep 0.3; echo mis"sed"\n');
  const { at } = await until(lost, 'ready');
  const after = stage.again();
  await using found = await after.open(ann, entered, wish({ terminal: { cols: 132, rows: 40, term: 'xterm' } }), waits);
  assert.equal(found.name, lost.name);
  assert.equal(found.isFresh, false);
  assert.match((await until(found, 'missed', at)).shown, /^[^]*missed/);
  type(found, 'echo $x $(stty size)\n');
  await until(found, 'kept 40 132', at);
});

test('two who enter at once never get the same lost shell, and who is attached is not disturbed', async () => {
  await using stage = await openStage();
  using entered = await stage.sessions.enter(ann, 'S00000000000000a1');
  const lost = await stage.shells.open(ann, entered, wish(), waits);
  await lost[Symbol.asyncDispose]();
  const both = await Promise.all([stage.shells.open(ann, entered, wish(), waits), stage.shells.open(ann, entered, wish(), waits)]);
  assert.equal(new Set(both.map(({ name }) => name)).size, 2);
  assert.ok(both.some(({ name }) => name === lost.name));
  await using third = await stage.shells.open(ann, entered, wish(), waits);
  assert.ok(third.isFresh);
  assert.deepEqual(
    (await stage.shells.runs(entered, waits)).map(({ attached }) => attached),
    [1, 1, 1],
  );
});

test('somebody else gets a shell of their own, and may look over the other’s shoulder by its name', async () => {
  await using stage = await openStage();
  using entered = await stage.sessions.enter(ann, 'S00000000000000a1');
  await using first = await stage.shells.open(ann, entered, wish(), waits);
  await first[Symbol.asyncDispose]();
  await using own = await stage.shells.open(bob, entered, wish(), waits);
  assert.notEqual(own.name, first.name);
  await using shared = await stage.shells.open(bob, entered, wish({ run: first.name }), waits);
  await using again = await stage.shells.open(ann, entered, wish({ run: first.name }), waits);
  type(shared, 'echo b"ob"\n');
  type(again, 'echo a"nn"\n');
  for (const one of [shared, again]) await Promise.all([until(one, 'bob'), until(one, 'ann')]);
  await assert.rejects(stage.shells.open(bob, entered, wish({ run: 'sh-none' }), waits), (error) => isCode(error, 'not-found'));
  await assert.rejects(stage.shells.open(bob, entered, wish({ run: '../S1' }), waits), (error) => isCode(error, 'invalid'));
});

test('hanging up ends the shell and what runs in it, even a command that does not heed it', async () => {
  await using stage = await openStage();
  using entered = await stage.sessions.enter(ann, 'S00000000000000a1');
  const shell = await stage.shells.open(ann, entered, wish(), waits);
  type(shell, "trap '' HUP; sh -c \"trap '' HUP; echo stub''born; sleep 600\"\n");
  await until(shell, 'stubborn');
  await shell.hangUp(waits);
  const exit = await shell.exit(waits);
  assert.equal(exit.kind, 'killed');
});

test('a shell that was left tells its end, and is forgotten once that was seen', async () => {
  await using stage = await openStage();
  using entered = await stage.sessions.enter(ann, 'S00000000000000a1');
  const shell = await stage.shells.open(ann, entered, wish(), waits);
  type(shell, 'exit 3\n');
  await shell.follow(0, () => undefined, waits); // to its end
  assert.deepEqual(await shell.exit(waits), { kind: 'exited', code: 3 });
  await shell[Symbol.asyncDispose]();
  assert.deepEqual(await stage.shells.runs(entered, waits), []);
});

test('who lets a shell go leaves no request open that nobody will type into', async () => {
  await using stage = await openStage();
  using entered = await stage.sessions.enter(ann, 'S00000000000000a1');
  const typing: Promise<number>[] = [];
  const writeStdin: Buildlet['writeStdin'] = (...asked) => {
    const taken = entered.buildlet.writeStdin(...asked);
    typing.push(taken);
    return taken;
  };
  const watched = { ...entered, buildlet: { ...entered.buildlet, writeStdin } };
  const shell = await stage.shells.open(ann, watched, wish(), waits);
  void shell.type(Buffer.from('echo 4"2"\n'));
  await until(shell, '42');
  assert.equal(typing.length, 1);
  await shell[Symbol.asyncDispose]();
  assert.equal(await typing[0], 10);
});

test('one of Go’s buildlets is refused in words', async () => {
  const sessions = fakeSessions({ ground: { speaks: 'go' } });
  sessions.put(fakeSession());
  using entered: Entered = await sessions.enter(ann, 'ann-linux-0');
  const shells = createShells({ clock: systemClock, random: systemRandom, audit: { asked: async () => undefined }, log: silentLog });
  await assert.rejects(
    shells.open(ann, entered, wish(), waits),
    (error) => isCode(error, 'conflict') && /Go's buildlets/.test(error.message),
  );
});
