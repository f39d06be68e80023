import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Code, ConnectError, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { authorizationHeader, clearResultsMethod } from '@croft/protocol/coordinator-service';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { createAttempts } from '@croft/web/attempts';
import { serve, type Listener } from '@croft/web/listener';
import { createAdmit } from './admit.ts';
import { createRpc } from './rpc.ts';
import { go, masterKey, openDashboardStage, revision, type DashboardStage } from './testing-stage.ts';

interface RpcStage extends AsyncDisposable {
  readonly stage: DashboardStage;
  readonly listener: Listener;
}

async function openRpc({ accepted = true } = {}): Promise<RpcStage> {
  await using stack = new AsyncDisposableStack();
  const stage = stack.use(await openDashboardStage());
  const { audit } = stage.app.auth;
  const keys = accepted ? stage.keys : undefined;
  const admit = createAdmit({ keys, audit, attempts: createAttempts(systemClock) });
  const raw = createRpc({ publicNames: [], dashboard: stage.farm.dashboard, admit });
  const options = { host: '127.0.0.1', port: 0, raw, log: silentLog, graceMs: 200 };
  const listener = stack.use(await serve(() => new Response('page'), options));
  const owned = stack.move();
  return { stage, listener, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const transports: [string, (baseUrl: string) => Transport][] = [
  ['gRPC over h2c', (baseUrl) => createGrpcTransport({ baseUrl })],
  ['Connect over HTTP/1', (baseUrl) => createConnectTransport({ baseUrl, httpVersion: '1.1' })],
];

interface Call {
  readonly builder?: string;
  readonly hash?: string;
  readonly authorization?: string;
}

async function call(transport: Transport, { builder = 'plan9', hash = revision(2), authorization }: Call): Promise<Code | 'ok'> {
  const headers = new Headers(authorization === undefined ? {} : { [authorizationHeader]: authorization });
  try {
    await transport.unary(clearResultsMethod, undefined, 5_000, headers, { builder, hash });
    return 'ok';
  } catch (error) {
    return ConnectError.from(error).code;
  }
}

for (const [name, transportTo] of transports) {
  describe(`RET-6, ${name}`, () => {
    test('clears a result for whoever has the builder’s key', async () => {
      await using rpc = await openRpc();
      const { dashboard } = rpc.stage.farm;
      const result = { builder: 'plan9' as never, revisions: [{ repo: go, revision: revision(2) }], passed: false, log: 'x\n', runMs: 1 };
      await dashboard.report(result);
      const authorization = `builder ${rpc.stage.keys.keyOf('plan9')}`;
      assert.equal(await call(transportTo(rpc.listener.url), { authorization }), 'ok');
      assert.equal((await rpc.stage.results())[revision(2)]?.['plan9'] ?? '', '');
      assert.deepEqual(await rpc.stage.app.audited(), [`builder key of plan9: original.clear-results plan9 ${revision(2)}`]);
    });

    test('says with the code of gRPC what is wrong', async () => {
      await using rpc = await openRpc();
      const transport = transportTo(rpc.listener.url);
      const authorization = `builder ${masterKey.replaceAll(' ', '')}`;
      assert.equal(await call(transport, { builder: '' }), Code.InvalidArgument);
      assert.equal(await call(transport, { hash: '' }), Code.InvalidArgument);
      assert.equal(await call(transport, {}), Code.Unauthenticated);
      assert.equal(await call(transport, { authorization: 'bearer x' }), Code.Unauthenticated);
      assert.equal(await call(transport, { authorization }), Code.Unauthenticated);
      assert.equal(
        await call(transport, { authorization: `builder ${rpc.stage.keys.keyOf('plan9')}`, hash: 'short' }),
        Code.InvalidArgument,
      );
    });

    test('takes no key where none is accepted, nor the user behind the connection', async () => {
      await using rpc = await openRpc({ accepted: false });
      const authorization = `builder ${rpc.stage.keys.keyOf('plan9')}`;
      assert.equal(await call(transportTo(rpc.listener.url), { authorization }), Code.Unauthenticated);
    });
  });
}

test('the pages are there beside it', async () => {
  await using rpc = await openRpc();
  assert.equal(await (await fetch(rpc.listener.url)).text(), 'page');
});
