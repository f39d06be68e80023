import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { SessionGround } from '../sessions/sessions.ts';
import { commandRun, type CommandRequest } from './command-run.ts';

const ground: SessionGround = {
  workDir: '/workdir',
  dir: 'go/src',
  env: { CI: 'true', A: '1' },
  path: ['/workdir/go/bin'],
  speaks: 'croft',
};

function plan(over: Partial<CommandRequest>, on = ground) {
  const plain = { gomoteId: 'ann-linux-0', command: 'go/src/make.bash', systemLevel: false, debug: false, appendEnvironment: [], path: [] };
  const { argv, dir, env, path } = commandRun({ ...plain, directory: '', args: [], imitateHostType: '', ...over }, on);
  return { argv, dir, env, path };
}

test('where a command runs: in its own directory, in the work directory with -system, or where it was asked to', () => {
  assert.deepEqual(plan({}), { argv: ['/workdir/go/src/make.bash'], dir: 'go/src', env: ground.env, path: ground.path });
  assert.equal(plan({ directory: 'go/test' }).dir, 'go/test');
  assert.equal(plan({ directory: '/workdir/go' }).dir, 'go');
  assert.deepEqual(plan({ command: '/bin/ls', systemLevel: true }).dir, '.');
  assert.deepEqual(plan({ command: 'ls', systemLevel: true }).argv, ['ls']);
  const outside = plan({ command: '/bin/ls', systemLevel: true, directory: '/etc', args: ['-l'] });
  assert.deepEqual([outside.dir, outside.argv.slice(3)], ['.', ['sh', '/etc', '', '', '/bin/ls', '-l']]);
  assert.equal(plan({ directory: '../other' }).argv[4], '/other');
});

test('RUN-1: variables that were asked for come over the session’s', () => {
  assert.deepEqual(plan({ appendEnvironment: ['A=2', 'B= x "$y"', 'A=3'] }).env, { CI: 'true', B: ' x "$y"', A: '3' });
  for (const wrong of ['', '=x', 'A', '1=x', 'A B=x'])
    assert.throws(() => plan({ appendEnvironment: [wrong] }), { code: 'invalid' }, wrong);
});

test('PATH: behind the machine’s own, in its place, or around it', () => {
  const of = (...path: string[]): unknown => {
    const { argv, env, path: behind } = plan({ command: '/bin/x', path });
    return argv.length > 1 ? argv.slice(5, 7) : (env['PATH'] ?? behind);
  };
  assert.deepEqual(of(), ['/workdir/go/bin']);
  assert.equal(of('$PATH'), undefined);
  assert.deepEqual(of('$PATH', '/a', '$WORKDIR/b'), ['/a', '/workdir/b']);
  assert.deepEqual(of('$WORKDIR/go/bin', '$PATH'), ['/workdir/go/bin:', '']);
  assert.deepEqual(of('/a', '$PATH', 'x$WORKDIRy'), ['/a:', ':x/workdiry']);
  assert.equal(of('$EMPTY'), '');
  assert.equal(of('/bin', '/usr/bin'), '/bin:/usr/bin');
  assert.throws(() => plan({ path: ['/a', '$PATH'] }, { ...ground, workDir: 'C:\\work' }), { code: 'invalid' });
});

test('nothing that was asked for is read by the shell as a script', () => {
  fc.assert(
    fc.property(fc.string(), fc.array(fc.string()), fc.string(), (directory, args, element) => {
      const { argv } = plan({ command: '/bin/x', systemLevel: true, directory: `/${directory}`, args, path: [element, '$PATH'] });
      if (argv[0] !== '/bin/sh') return;
      assert.match(argv[2] ?? '', /^(cd "\$1" \|\| exit 127\n)?(PATH="\$2\$PATH\$3"; export PATH\n)?shift 3; exec "\$@"$/);
      assert.deepEqual(argv.slice(7), ['/bin/x', ...args]);
    }),
  );
});
