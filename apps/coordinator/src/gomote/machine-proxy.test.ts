/** A session's machine through the coordinator, with a real buildlet behind it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect, createServer, type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { execFileSync } from 'node:child_process';
import { after, describe, test } from 'node:test';
import { createBuildlet } from '@croft/buildlet/client';
import { createGoClient } from '@croft/buildlet/go-client';
import { startTestBuildlet } from '@croft/buildlet/testing';
import { parseRunId } from '@croft/domain/names';
import { systemClock } from '@croft/runtime/clock';
import { openProxyStage, sessionId } from './testing-proxy.ts';

const machine = await startTestBuildlet();
after(() => machine[Symbol.asyncDispose]());
const run = parseRunId('r-1');
const limits = { limitMs: 10_000, outputLimitBytes: 1_000_000 };
const signal = systemClock.deadline(20_000);

describe('a session’s machine through the coordinator', () => {
  test('our client works against it unchanged: files, runs with the session’s variables and directories, output, exit', async () => {
    await using stage = await openProxyStage(machine.address, { ground: { env: { CI: 'true', TOLD: 'a "b" $c ü' } } });
    await using client = createBuildlet(stage.address, { clock: systemClock });
    assert.equal(await client.workDir({}), machine.workDir);
    assert.equal((await client.status({})).Version > 0, true);
    const id = parseRunId(`${sessionId}.env`);
    const spec = { argv: ['sh', '-c', 'printf "%s|%s" "$CI" "$TOLD"; exit 3'], dir: '.', env: { CI: 'mine' }, ...limits };
    assert.equal((await client.startOrAttach(id, spec, 0, {})).id, id);
    const ended = await client.run(id, { waitMs: 10_000 });
    assert.deepEqual(typeof ended === 'object' && ended.state === 'ended' && ended.exit, { kind: 'exited', code: 3 });
    const output = Buffer.concat(await Array.fromAsync(client.output(id, 0, { signal }), (piece) => Buffer.from(piece))).toString();
    assert.equal(output, 'mine|a "b" $c ü');
    assert.deepEqual(
      (await client.runs({})).map((one) => one.id),
      [id],
    );
    await client.collect(id, 0, {});
    assert.deepEqual(await stage.app.audited(), ['ann: session.run ann-linux-0']);
  });

  test('Go’s client does, too: /exec with its trailer, archives, lists, and the fence stays up', async () => {
    await using stage = await openProxyStage(machine.address, { ground: { env: { TOLD: 'yes' } } });
    await using client = createGoClient(stage.address, { clock: systemClock });
    const said: Buffer[] = [];
    const output = (piece: Buffer): void => void said.push(Buffer.from(piece));
    const outcome = await client.exec('/bin/sh', { systemLevel: true, args: ['-c', 'echo $TOLD; exit 4'], output }, { signal });
    assert.equal(outcome.state, 'exit status 4');
    assert.equal(Buffer.concat(said).toString(), 'yes\n');
    await client.put('deep/file', { mode: 0o640, content: 'hello' }, { signal });
    const listed = await Array.fromAsync(client.listDir('deep', {}, { signal }), ({ name, sizeBytes }) => `${name} ${sizeBytes}`);
    assert.deepEqual(listed, ['file 5']);
    const archive = Buffer.concat(await Array.fromAsync(client.getTar('deep', { signal }), (piece) => Buffer.from(piece)));
    await client.putTar('again', piecesOf(archive), { signal });
    await client.removeAll(['deep', 'again'], { signal });
    assert.equal((await client.status({ signal })).Croft?.epoch, 7, 'what changes something carries the epoch of the session');
  });

  test('a run without the prefix gets it; one of a build or of another session is refused', async () => {
    await using stage = await openProxyStage(machine.address);
    const spec = JSON.stringify({ argv: ['true'], dir: '.', ...limits });
    const started = await stage.ask(`/runs/${run}`, { method: 'PUT', body: spec });
    assert.equal(started.status, 201);
    assert.equal(((await started.json()) as { id: string }).id, `${sessionId}.${run}`);
    assert.equal((await stage.ask(`/runs/${run}?wait=5000`)).status, 200);
    assert.equal((await stage.ask('/runs/B00000000000000a1.1.test')).status, 403);
    assert.equal((await stage.ask(`/runs/${run}`, { method: 'DELETE' })).status, 204);
    for (const name of ['r', 'runs', 'u']) {
      const short = await stage.ask(`/runs/${name}`, { method: 'PUT', body: spec });
      assert.equal(((await short.json()) as { id: string }).id, `${sessionId}.${name}`);
      await stage.ask(`/runs/${name}?wait=5000`);
      assert.equal((await stage.ask(`/runs/${name}`, { method: 'DELETE' })).status, 204);
    }
  });

  test('only its owner and those it is shared with get there, a viewer never, and nothing else of the machine is offered', async () => {
    await using stage = await openProxyStage(machine.address);
    const bob = { authorization: `Bearer ${await stage.token('bob')}` };
    assert.equal((await stage.ask('/workdir', { headers: bob })).status, 403);
    assert.equal((await stage.ask('/workdir', { headers: { authorization: 'Bearer croft_0' } })).status, 401);
    assert.equal((await stage.ask('/workdir', { headers: await stage.app.as('viewer') })).status, 403);
    assert.equal((await stage.ask('/write?path=x', { method: 'PUT', body: 'x', headers: bob })).status, 403);
    for (const [method, path] of [
      ['POST', '/halt'],
      ['GET', '/debug/x'],
      ['POST', '/selftest'],
    ] as const)
      assert.equal((await stage.ask(path, { method })).status, 404, path);
    assert.deepEqual(await stage.app.audited(), ['bob: session.write refused ann-linux-0'.replace('ann-linux-0', sessionId)]);
    await stage.sessions.share({ name: 'ann', role: 'developer', repos: [] }, sessionId, ['bob']);
    assert.equal((await stage.ask('/workdir', { headers: bob })).status, 200);
  });

  test('a page of another origin and a bare form get nowhere, with whatever rights their browser has', async () => {
    await using stage = await openProxyStage(machine.address);
    const crossSite = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' };
    assert.equal((await stage.ask('/workdir', { headers: crossSite })).status, 403);
    const url = `${stage.listener.url}${stage.address.basePath}/removeall`;
    const form = { method: 'POST', body: 'path=.', headers: { 'content-type': 'application/x-www-form-urlencoded' } };
    assert.equal((await fetch(url, form)).status, 403);
  });

  test('the end of the session cuts what is under way and refuses what comes later, saying why', async () => {
    await using stage = await openProxyStage(machine.address);
    const body = JSON.stringify({ argv: ['sh', '-c', 'echo begun; sleep 30'], dir: '.', ...limits });
    assert.equal((await stage.ask('/runs/long', { method: 'PUT', body })).status, 201);
    const following = await stage.ask('/runs/long/output?from=0&follow=1');
    const reader = following.body!.getReader();
    assert.equal(Buffer.from((await reader.read()).value ?? []).toString(), 'begun\n');
    await stage.ask('/runs/long/cancel', { method: 'POST', body: '{"reason":"seen"}', headers: { 'content-type': 'application/json' } });
    await stage.ask('/runs/long', { method: 'DELETE' });
    const held = stage.ask('/runs/r-none/output?from=0').then((answer) => answer.status);
    assert.equal(await held, 404);
    const waiting = stage.ask('/exec', { method: 'POST', body: new URLSearchParams({ cmd: '/bin/sleep', mode: 'sys', cmdArg: '30' }) });
    const begun = await waiting;
    assert.equal(begun.status, 200);
    stage.end('it was idle for 30 min');
    await assert.rejects(begun.text());
    const late = await stage.ask('/workdir');
    assert.equal(late.status, 409);
  });

  test('a caller that goes away ends its command on the machine', async () => {
    await using stage = await openProxyStage(machine.address);
    const leaving = new AbortController();
    const body = new URLSearchParams({ cmd: '/bin/sh', mode: 'sys' });
    const mark = `croft-proxy-${process.pid}`;
    for (const arg of ['-c', 'echo on; sleep 30; true', mark]) body.append('cmdArg', arg);
    const answer = await stage.ask('/exec', { method: 'POST', body, signal: leaving.signal });
    await answer.body!.getReader().read();
    const isThere = (): boolean =>
      execFileSync('sh', ['-c', `cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[c]roft-proxy-${process.pid}' || true`])
        .toString()
        .trim() !== '0';
    assert.ok(isThere());
    leaving.abort();
    while (isThere()) await systemClock.sleep(50, { signal });
  });

  test('an HTTP/2 client is served as well', async () => {
    await using stage = await openProxyStage(machine.address);
    const client = connectHttp2(stage.listener.url);
    const headers = { authorization: `Bearer ${stage.address.token}` };
    const asked = client.request({ ':path': `${stage.address.basePath}/workdir`, ...headers });
    assert.equal(await text(asked), machine.workDir);
    const body = client.request({ ':method': 'PUT', ':path': `${stage.address.basePath}/write?path=h2&mode=420`, ...headers });
    body.end('two');
    assert.equal(await text(body), 'OK');
    client.close();
  });
});

describe('raw connections of a real buildlet, through the coordinator', () => {
  test('to a port of the machine, to its files, and from a listener on it', async () => {
    const echo = createServer((socket) => void socket.pipe(socket)).listen(0, '127.0.0.1');
    await once(echo, 'listening');
    await using stage = await openProxyStage(machine.address);
    await using client = createBuildlet(stage.address, { clock: systemClock });
    const stream = await client.connect((echo.address() as AddressInfo).port, 0, { signal });
    stream.end('through');
    assert.equal(await text(stream), 'through');
    echo.close();
    const sftp = await client.sftp({ dir: '.' }, 0, { signal });
    sftp.write(Buffer.from('0000000501' + '00000003', 'hex')); // SSH_FXP_INIT, version 3
    const [version] = (await once(sftp, 'data')) as [Buffer];
    assert.equal(version[4], 2, 'SSH_FXP_VERSION');
    sftp.destroy();
    await using listening = await client.listen({ kind: 'tcp', port: 0 }, 0, { signal });
    assert.ok('port' in listening.place);
    const visitor = connect(listening.place.port, '127.0.0.1');
    for await (const arrived of listening.connections) {
      arrived.end('hello');
      break;
    }
    assert.equal(await text(visitor), 'hello');
  });
});

async function* piecesOf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}
