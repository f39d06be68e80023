import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleepFor } from 'node:timers/promises';

interface Program extends AsyncDisposable {
  readonly child: ChildProcess;
  stdout(): string;
  stderr(): string;
  /** Resolves when standard output holds the text. */
  says(text: string): Promise<void>;
  /** Resolves with exit code and signal when it has ended and all it wrote was read. */
  ended(): Promise<[code: number | null, signal: NodeJS.Signals | null]>;
}

const room = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href);
const deadlineMs = 20_000;

/** Runs a program whose `start` has this body, as a process of its own. */
async function program(body: string): Promise<Program> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-run-main-'));
  const path = join(dir, 'main.mjs');
  const imports = `import { runMain } from ${room('./run-main.ts')};\nimport { CroftError } from ${room('./errors.ts')};\n`;
  const serving = 'const serving = setInterval(() => {}, 1000);\nconst say = (text) => process.stdout.write(`${text}\\n`);\n';
  await writeFile(path, `${imports}${serving}await runMain(async () => {${body}});\nclearInterval(serving);\n`);
  const child = spawn(process.execPath, [path], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const closed = once(child, 'close', { signal: AbortSignal.timeout(deadlineMs) }) as Promise<[number | null, NodeJS.Signals | null]>;
  closed.catch(() => child.kill('SIGKILL'));
  return {
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    async says(text) {
      while (!stdout.includes(text))
        await Promise.race([once(child.stdout, 'data'), closed.then(() => assert.fail(`ended without "${text}": ${stderr}`))]);
    },
    ended: () => closed,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await closed.catch(() => undefined);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

const server = `
  const stack = new AsyncDisposableStack();
  stack.defer(async () => say('store closed'));
  stack.defer(async () => { await new Promise((resolve) => setTimeout(resolve, 10)); say('server closed'); });
  say('ready');
  return { onSignal: (name) => say(\`told \${name}\`), [Symbol.asyncDispose]: () => stack.disposeAsync() };
`;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} is told first, then everything is closed in reverse order, and the exit code is 0`, async () => {
    await using main = await program(server);
    await main.says('ready');
    main.child.kill(signal);
    assert.deepEqual(await main.ended(), [0, null]);
    assert.equal(main.stdout(), `ready\ntold ${signal}\nserver closed\nstore closed\n`);
    assert.equal(main.stderr(), '');
  });
}

test('a program that finishes by itself is closed and exits 0', async () => {
  await using main = await program(`return { finished: Promise.resolve(), [Symbol.asyncDispose]: async () => say('closed') };`);
  assert.deepEqual(await main.ended(), [0, null]);
  assert.equal(main.stdout(), 'closed\n');
});

test('a signal while it starts is heard when it has started', async () => {
  await using main = await program(`
    say('starting');
    await new Promise((resolve) => process.once('SIGTERM', resolve));
    return { onSignal: (name) => say(name), [Symbol.asyncDispose]: async () => say('closed') };
  `);
  await main.says('starting');
  main.child.kill('SIGTERM');
  assert.deepEqual(await main.ended(), [0, null]);
  assert.equal(main.stdout(), 'starting\nSIGTERM\nclosed\n');
});

test('a start that fails says what failed and what to do, and exits 1', async () => {
  await using main = await program(
    `throw new CroftError('unavailable', 'listening on 8119', { cause: new Error('in use'), hint: 'Choose another port.' });`,
  );
  assert.deepEqual(await main.ended(), [1, null]);
  assert.equal(main.stderr(), 'croft: listening on 8119: in use\nChoose another port.\n');
});

test('wrong settings exit 2', async () => {
  await using main = await program(`throw new CroftError('invalid', 'croft.json: 1 mistake(s)');`);
  assert.deepEqual(await main.ended(), [2, null]);
  assert.equal(main.stderr(), 'croft: croft.json: 1 mistake(s)\n');
});

test('a bug shows its stack and exits 1', async () => {
  await using main = await program(`undefined.property;`);
  assert.deepEqual(await main.ended(), [1, null]);
  assert.match(main.stderr(), /^croft: Cannot read properties of undefined.*\nTypeError: [^]*main\.mjs/);
});

test('a failure while closing is not lost, and exits 1', async () => {
  await using main = await program(
    `return { finished: Promise.resolve(), [Symbol.asyncDispose]: async () => { throw new CroftError('internal', 'closing the store'); } };`,
  );
  assert.deepEqual(await main.ended(), [1, null]);
  assert.match(main.stderr(), /closing the store/);
});

const stuck = `
  say('ready');
  return { onSignal: () => say('told'), [Symbol.asyncDispose]: () => new Promise(() => {}) };
`;

test('a second signal ends a program that does not come to its end', async () => {
  await using main = await program(stuck);
  await main.says('ready');
  const ended = main.ended();
  const gaveUp = new AbortController();
  const impatient = (async () => {
    while (!gaveUp.signal.aborted) {
      main.child.kill('SIGINT');
      await sleepFor(50, undefined, { signal: gaveUp.signal });
    }
  })().catch(() => undefined);
  assert.deepEqual(await ended, [null, 'SIGKILL']);
  gaveUp.abort();
  await impatient;
});

test('the echo of a Ctrl-C does not count as a second signal', async () => {
  await using main = await program(`
    say('ready');
    return { onSignal: () => { process.kill(process.pid, 'SIGINT'); }, [Symbol.asyncDispose]: async () => {
      await new Promise((resolve) => process.once('SIGINT', resolve));
      say('closed');
    } };
  `);
  await main.says('ready');
  main.child.kill('SIGINT');
  assert.deepEqual(await main.ended(), [0, null]);
  assert.equal(main.stdout(), 'ready\nclosed\n');
});
