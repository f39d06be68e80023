/** What `/exec` says: quoted text, ends, failures; and what it makes of names, directories and PATH. buildlet.md 1.3 and 1.10. */
import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { textOfBytes } from '../commands/byte-text.ts';
import { cacheDirs, execEnvironment } from './environment.ts';
import { processState, startFailure } from './process-state.ts';
import { quoted, quotedList } from './quote.ts';
import { resolveCommand, resolveDirectory } from './resolve.ts';

test("text is quoted as Go's %q does", () => {
  const vectors: [string, string][] = [
    ['a b', '"a b"'],
    ['"\\\n\t\r\u0007\b\f\v', String.raw`"\"\\\n\t\r\a\b\f\v"`],
    ['\0\u007f', String.raw`"\x00\x7f"`],
    ['é€😀', '"é€😀"'],
    ['\u00a0\u200b\ufeff', String.raw`"\u00a0\u200b\ufeff"`],
    ['\u{e0001}', String.raw`"\U000e0001"`],
    [textOfBytes(Buffer.from('ff41c3', 'hex')), String.raw`"\xffA\xc3"`],
  ];
  for (const [text, shown] of vectors) assert.equal(quoted(text), shown);
  assert.equal(quotedList(['a', 'b c']), '["a" "b c"]');
  assert.equal(quotedList([]), '[]');
});

test('quoted text is one line, and tells different texts apart', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ maxLength: 20 }), (one, other) => {
      const [a, b] = [Buffer.from(one), Buffer.from(other)].map((bytes) => quoted(textOfBytes(bytes)));
      assert.match(String(a), /^"[^\p{Cc}]*"$/u);
      assert.equal(a === b, Buffer.from(one).equals(Buffer.from(other)));
    }),
  );
});

test("ends are told in Go's words", () => {
  const end = (code: number | null, signal: string | null = null, coreDumped = false): string => processState({ code, signal, coreDumped });
  assert.deepEqual([end(0), end(3), end(255)], ['ok', 'exit status 3', 'exit status 255']);
  const words = {
    SIGHUP: 'hangup',
    SIGILL: 'illegal instruction',
    SIGTRAP: 'trace/breakpoint trap',
    SIGABRT: 'aborted',
    SIGBUS: 'bus error',
    SIGFPE: 'floating point exception',
    SIGKILL: 'killed',
    SIGUSR1: 'user defined signal 1',
    SIGPIPE: 'broken pipe',
    SIGALRM: 'alarm clock',
    SIGTERM: 'terminated',
    SIGSYS: 'signal 31',
    SIG40: 'signal 40',
  };
  for (const [signal, text] of Object.entries(words)) assert.equal(end(null, signal), `signal: ${text}`);
  assert.equal(end(null, 'SIGSEGV', true), 'signal: segmentation fault (core dumped)');
  assert.equal(startFailure('/w/x', 'ENOEXEC'), 'fork/exec /w/x: exec format error');
});

test('a program and a directory are found by the rules of version 26', async () => {
  const dir = await realpath(await mkdtemp(join(tmpdir(), 'croft-resolve-')));
  const workDir = join(dir, 'w');
  await mkdir(join(dir, 'bin'), { recursive: true });
  await mkdir(join(workDir, 'sh'), { recursive: true }); // a directory is no program
  for (const path of ['bin/tool', 'bin/sh', 'w/own', 'w/dead']) await writeFile(join(dir, path), '#!/bin/sh\n', { mode: 0o755 });
  await chmod(join(workDir, 'dead'), 0o644);
  const place = { workDir, path: `relative::${join(dir, 'bin')}`, system: false };
  const system = { ...place, system: true };
  const what = "invalid 'cmd' parameter: ";

  assert.equal(resolveCommand('/a//b/../c/', place), '/a/c');
  assert.equal(resolveCommand('go/src/all.bash', place), join(workDir, 'go/src/all.bash'));
  assert.equal(resolveCommand('a/../b', place), join(workDir, 'b'));
  assert.equal(resolveCommand('own', place), join(workDir, 'own'));
  for (const cmd of ['sh', 'tool']) assert.equal(resolveCommand(cmd, place), join(dir, 'bin', cmd));
  assert.equal(resolveCommand('tool', system), join(dir, 'bin/tool'));
  assert.deepEqual(resolveCommand('own', system), { status: 422, text: `${what}command "own" not found` });
  assert.deepEqual(resolveCommand('dead', place), { status: 422, text: `${what}command "dead" not found` });
  assert.deepEqual(resolveCommand('', place), { status: 400, text: `${what}requires 'cmd' parameter` });
  assert.deepEqual(resolveCommand('a/b', system), {
    status: 400,
    text: `${what}'sys' mode requires absolute or system 'cmd' path`,
  });
  assert.deepEqual(resolveCommand('../x', place), {
    status: 400,
    text: `${what}${what}path "../x" refers to a parent directory`,
  });

  assert.equal(resolveDirectory('', '/w/go/bin/go', place), '/w/go/bin');
  assert.equal(resolveDirectory('', '/usr/bin/go', system), workDir);
  assert.equal(resolveDirectory('/tmp/', '/x', place), '/tmp');
  assert.equal(resolveDirectory('a/./b/', '/x', place), join(workDir, 'a/b'));
  assert.deepEqual(resolveDirectory('a/../..', '/x', place), {
    status: 400,
    text: `invalid 'dir' parameter: invalid 'dir' parameter: path "a/../.." refers to a parent directory`,
  });
  await rm(dir, { recursive: true });
});

const place = { workDir: '/workdir', cwd: '/workdir/src', cacheDirs: cacheDirs('/workdir'), bootstrap: '/workdir/go1.4' };
const environment = (passed: Record<string, string>, env: string[], path: string[] = []): Record<string, string> =>
  execEnvironment(passed, { env, path }, place);

test('PATH is made of its elements in one pass', () => {
  const vectors: [string[], string | undefined, string | undefined][] = [
    [['$PATH'], '/bin:/usr/bin', '/bin:/usr/bin'],
    [['$WORKDIR/go/bin', '$PATH'], '/bin:/usr/bin', '/workdir/go/bin:/bin:/usr/bin'],
    [['/a', '$PATH', 'x$WORKDIRy'], '/bin:/usr/bin', '/a:/bin:/usr/bin:x/workdiry'],
    [['$PATH', '$WORKDIR/foo'], undefined, '/workdir/foo'],
    [['$$PATH'], '/bin:/usr/bin', '$/bin:/usr/bin'],
    [['$EMPTY'], '/bin:/usr/bin', ''],
    [['$EMPTY'], undefined, undefined],
    [['$EM$EMPTYPTY'], '/bin', '$EMPTY'],
    [['$PATH$PATH'], '$PATH', '$PATH$PATH'],
    [[], '/bin', '/bin'],
  ];
  for (const [path, before, after] of vectors) {
    assert.equal(environment(before === undefined ? {} : { PATH: before }, [], path)['PATH'], after, path.join());
  }
  assert.equal(environment({ PATH: '/own' }, ['PATH=/asked'], ['$PATH', '/more'])['PATH'], '/asked:/more');
});

test('an element without a variable is itself, and empty ones vanish', () => {
  const element = fc.string().filter((text) => !/\$(?:PATH|WORKDIR|EMPTY)/.test(text));
  fc.assert(
    fc.property(fc.array(element, { minLength: 1 }), (path) => {
      const kept = path.filter(Boolean).join(':');
      assert.equal(environment({ PATH: 'before' }, [], path)['PATH'], kept);
    }),
  );
});

test('later variables win and keep the later place, and some cannot be asked for otherwise', () => {
  const env = environment(
    { PATH: '/bin', HOME: '/h' },
    ['HOME=/asked', 'A=1', 'TMPDIR=/x', 'A=2=3', 'B', '=C', 'PWD=/y', '__proto__=p'],
    [],
  );
  assert.deepEqual(Object.entries(env), [
    ['PATH', '/bin'],
    ['WORKDIR', '/workdir'],
    ['GOROOT_BOOTSTRAP', '/workdir/go1.4'],
    ['HOME', '/asked'],
    ['A', '2=3'],
    ['__proto__', 'p'],
    ['TMPDIR', '/workdir/tmp'],
    ['GOCACHE', '/workdir/gocache'],
    ['GOPLSCACHE', '/workdir/goplscache'],
    ['PWD', '/workdir/src'],
  ]);
  assert.throws(() => environment({}, ['CROFT_COOKIE=forged']), /set by the farm alone/);
  assert.throws(() => environment({}, ['A=b\0c']), /NUL/);
  assert.throws(() => environment({}, ['A\0=b']), /NUL/);
});
