/**
 * Go's own `fetchlogs` and `retrybuilds` of 2017, built from its module proxy and run as they are. They know their dashboard by the
 * name `build.golang.org`: a proxy of the test's own answers to it, ends TLS, passes on, and keeps what was said.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { MINUTE, systemClock } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';
import { dashboardName as host, masterKey, openScene, type Exchange } from '@croft-apps/coordinator/testing';

const run = promisify(execFile);
/** The last commit of 2017. */
const module = 'golang.org/x/build@v0.0.0-20171220025321-125f04e1fc4b';

export interface Originals extends AsyncDisposable {
  /** Runs one of them to its end, with nothing of this environment, through the proxy. */
  run(program: 'fetchlogs' | 'retrybuilds', args: readonly string[], proxy: DashboardProxy): Promise<Ended>;
  /** For what they read and write; gone at the end. */
  readonly dir: string;
}

export interface Ended {
  readonly status: number | null;
  readonly output: string;
}

/** @returns the reason where they cannot be had. @throws Error when they were had and do not compile */
export async function buildOriginals(): Promise<Originals | { readonly missing: string }> {
  const go = await findGo();
  if (go === undefined) return { missing: 'no go is installed' };
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'croft-originals-')));
  const settings = [`GOPATH=${dir}/go`, `GOCACHE=${dir}/cache`, 'GOFLAGS=-modcacherw', 'GOTOOLCHAIN=local', 'GOWORK=off', 'CGO_ENABLED=0'];
  const runGo = (args: readonly string[], limitMs: number) =>
    run('env', [...settings, go, ...args], { cwd: dir, signal: systemClock.deadline(limitMs) });
  await writeFile(join(dir, 'go.mod'), 'module croft.invalid/originals\n\ngo 1.20\n');
  try {
    await runGo(['get', module], 2 * MINUTE);
  } catch (error) {
    return { missing: `${module} cannot be had: ${errorText(error).trim().split('\n').at(-1)}` };
  }
  const programs = ['fetchlogs', 'retrybuilds'].map((name) => `golang.org/x/build/cmd/${name}`);
  await runGo(['build', '-o', `${dir}/`, ...programs], 5 * MINUTE);
  const owned = stack.move();
  return {
    dir,
    run: (program, args, proxy) => runToEnd(join(dir, program), args, { HOME: dir, ...proxy.env }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function findGo(): Promise<string | undefined> {
  for (const go of ['go', '/usr/local/go/bin/go']) {
    const found = await run(go, ['version']).catch(() => undefined);
    if (found) return go;
  }
  return undefined;
}

/** By program, over the scene of the coordinator's tests. @throws Error when one of them fails */
export async function recordExchanges(originals: Originals): Promise<Record<'fetchlogs' | 'retrybuilds', Exchange[]>> {
  const record = async (program: 'fetchlogs' | 'retrybuilds', runs: readonly (readonly string[])[]): Promise<Exchange[]> => {
    await using scene = await openScene();
    await using listener = await scene.stage.app.listen();
    await using proxy = await openDashboardProxy(listener.url);
    for (const args of runs) {
      const { status, output } = await originals.run(program, args, proxy);
      if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}: ${output}`);
    }
    return proxy.exchanges.map((exchange) => ({ ...exchange, path: scene.hideKey(exchange.path) }));
  };
  const logs = await mkdtemp(join(originals.dir, 'logs-'));
  const key = join(originals.dir, 'master.key');
  await writeFile(key, masterKey);
  const prefix = [`-builder-prefix=http://${host}`, `-masterkey=${key}`];
  const choices = [['-redo-flaky', '-builder=plan9-386'], ['-loghash=db681'], ['-builder=linux-arm', '-hash=000'], ['-builder=plan9-386']];
  return {
    fetchlogs: await record('fetchlogs', [['-n', '3', '-j', '1', '-dir', logs]]),
    retrybuilds: await record(
      'retrybuilds',
      choices.map((choice) => [...prefix, ...choice]),
    ),
  };
}

async function runToEnd(program: string, args: readonly string[], env: Record<string, string>): Promise<Ended> {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'], signal: systemClock.deadline(MINUTE) });
  const ended = once(child, 'close') as Promise<[number | null]>;
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { status, output: stdout + stderr };
}

export interface DashboardProxy extends AsyncDisposable {
  readonly env: Record<string, string>;
  /** In order of their answers. */
  readonly exchanges: readonly Exchange[];
}

/** Passes what is said to `build.golang.org` on to `target`, the name kept, and nothing else. Needs `openssl`. */
export async function openDashboardProxy(target: string): Promise<DashboardProxy> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'croft-proxy-')));
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  const named = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`];
  const wanted = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  await run('openssl', [...wanted, ...named, '-keyout', key, '-out', cert]);
  const exchanges: Exchange[] = [];
  const onRequest = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    passOn(incoming, outgoing, target).then(
      (exchange) => void exchanges.push(exchange),
      (error: unknown) => outgoing.destroy(error as Error),
    );
  };
  const secure = createTlsServer({ key: await readFile(key), cert: await readFile(cert) }, onRequest);
  const server = createServer(onRequest);
  server.on('connect', ({ url }, socket) => {
    if (url !== `${host}:443`) return void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    secure.emit('connection', socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stack.defer(async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    secure.closeAllConnections();
    await closed;
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const owned = stack.move();
  return {
    exchanges,
    env: { HTTP_PROXY: url, HTTPS_PROXY: url, SSL_CERT_FILE: cert, SSL_CERT_DIR: dir },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Headers that say how the bytes came, not what was asked. */
const ofTheLine = ['host', 'accept-encoding', 'content-length', 'connection', 'user-agent'];

async function passOn(incoming: IncomingMessage, outgoing: ServerResponse, target: string): Promise<Exchange> {
  const { method = 'GET', headers } = incoming;
  const { pathname, search } = new URL(incoming.url ?? '/', `https://${host}`);
  const path = pathname + search;
  const asked = request(new URL(path, target), { method, headers: { ...headers, host, 'accept-encoding': 'identity' } });
  asked.end(await buffer(incoming));
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  const body = await buffer(answer);
  const { statusCode: status = 0, headers: said } = answer;
  const type = said['content-type'] ?? '';
  outgoing.writeHead(status, { 'content-type': type }).end(body);
  const kept = Object.entries(headers).filter(([name]) => !ofTheLine.includes(name)) as [string, string][];
  return { method, path, headers: Object.fromEntries(kept), status, type, body: body.toString() };
}
