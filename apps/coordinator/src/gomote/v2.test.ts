/** The v2 protocol of Go's gomote, as its clients speak it, with a real buildlet behind it. Labels: gomote-ssh.md 6. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, describe, test } from 'node:test';
import { createClient, Code, ConnectError, type Transport } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { fromBinary, ScalarType, toBinary, type DescMessage } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { startTestBuildlet } from '@croft/buildlet/testing';
import { systemClock } from '@croft/runtime/clock';
import { gomoteService, instanceStatus, onceMethod, streamMethod } from '@croft/protocol/gomote-service';
import type { FakeSessions } from '../sessions/testing.ts';
import { countUses, openProxyStage, sessionId, type ProxyStage } from './testing-proxy.ts';

const machine = await startTestBuildlet();
after(() => machine[Symbol.asyncDispose]());
const gomoteId = 'ann-linux-0';

type Answer = Record<string, unknown>;
/** One answer, or many, as the method has it. */
type Method = (request: Answer, options?: { onTrailer?: (headers: Headers) => void }) => Promise<Answer> & AsyncIterable<Answer>;

interface Client {
  readonly [method: string]: Method;
}

function clientOf({ listener, address }: ProxyStage, token = address.token): Client {
  const bearer: NonNullable<Parameters<typeof createGrpcTransport>[0]['interceptors']> = [
    (next) => (request) => {
      if (token !== undefined) request.header.set('authorization', `Bearer ${token}`);
      return next(request);
    },
  ];
  const transport: Transport = createGrpcTransport({ baseUrl: listener.url, interceptors: bearer });
  return createClient(gomoteService, transport) as unknown as Client;
}

async function codeOf(act: Promise<unknown>): Promise<string> {
  try {
    await act;
    return 'ok';
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    return `${Code[code]} ${rawMessage}`;
  }
}

async function outputOf(client: Client, request: Answer): Promise<{ output: Buffer; end: string; exit: string | null }> {
  const parts: Buffer[] = [];
  let exit: string | null = null;
  const read = async (): Promise<void> => {
    const all = client['executeCommand']!({ gomoteId, ...request }, { onTrailer: (trailer) => (exit = trailer.get('croft-exit-code')) });
    for await (const { output } of all) parts.push(Buffer.from(output as Uint8Array));
  };
  const end = await codeOf(
    read().catch((error: unknown) => {
      exit = ConnectError.from(error).metadata.get('croft-exit-code');
      throw error;
    }),
  );
  return { output: Buffer.concat(parts), end, exit };
}

/** Of 6.2, by message: each field with its number and, unless it is a `string`, its type; `*` is repeated. `bytes` is `string` on the wire. */
const wire: Readonly<Record<string, string>> = {
  AddBootstrap: 'gomote_id=1 -> bootstrap_go_url=1',
  Authenticate: '->',
  CreateInstance: 'builder_type=1 experiment_option=2* -> instance=1 Instance status=2 enum waiters_ahead=3 int64',
  DestroyInstance: 'gomote_id=1 ->',
  ExecuteCommand:
    'gomote_id=1 command=2 system_level=3 bool debug=4 bool append_environment=5* path=6* directory=7 args=8* imitate_host_type=9 -> output=1 bytes',
  InstanceAlive: 'gomote_id=1 ->',
  ListDirectory: 'gomote_id=1 directory=2 recursive=3 bool skip_files=4* digest=5 bool -> entries=1*',
  ListDirectoryStreaming: 'gomote_id=1 directory=2 recursive=3 bool skip_files=4* digest=5 bool -> entries=1*',
  ListInstances: '-> instances=1* Instance',
  ListSwarmingBuilders: '-> builders=1*',
  ReadTGZToURL: 'gomote_id=1 directory=2 -> url=1',
  RemoveFiles: 'gomote_id=1 paths=2* ->',
  SignSSHKey: 'gomote_id=1 public_ssh_key=2 bytes -> signed_public_ssh_key=1 bytes',
  UploadFile: '-> url=1 fields=2 map object_name=3',
  WriteFileFromURL: 'gomote_id=1 url=2 filename=3 mode=4 fixed32 ->',
  WriteTGZFromURL: 'gomote_id=1 url=2 directory=3 ->',
};
const streams = /^(?:CreateInstance|ExecuteCommand|ListDirectoryStreaming)$/;

function described({ fields }: DescMessage): string {
  const text = fields.map((field) => {
    const isOther = field.scalar === undefined || field.fieldKind === 'map';
    const type = field.message?.name ?? (isOther ? field.fieldKind : ScalarType[field.scalar].toLowerCase());
    return `${field.name}=${field.number}${field.fieldKind === 'list' ? '*' : ''}${type === 'string' ? '' : ` ${type}`}`;
  });
  return text.join(' ');
}

describe('6.2: the wire', () => {
  test('each method has Go’s messages, with their fields, numbers and types', () => {
    const methods = gomoteService.methods.map((method) => {
      assert.equal(method.methodKind, streams.test(method.name) ? 'server_streaming' : 'unary', method.name);
      return [method.name, `${described(method.input)} -> ${described(method.output)}`.trim()];
    });
    assert.deepEqual(Object.fromEntries(methods), wire);
    assert.equal(gomoteService.typeName, 'protos.GomoteService');
    const instance = onceMethod('ListInstances').output.field['instances']?.message;
    assert.equal(instance && described(instance), 'gomote_id=1 builder_type=2 host_type=3 expires=4 int64 working_dir=5');
    assert.deepEqual(instanceStatus, { unknown: 0, waiting: 1, complete: 2 });
  });

  test('bytes of Go’s client are read, and what is said has the bytes that it reads', () => {
    const { input, output } = streamMethod('ExecuteCommand');
    const bytes = Buffer.from('0a01611201621801200' + '12a0163320164' + '3a0165420166' + '4a0167', 'hex');
    const read = fromBinary(input, bytes) as unknown as Answer;
    const { $typeName: _, $unknown: unknown, ...fields } = read as Answer & { $unknown?: unknown };
    assert.equal(unknown, undefined);
    assert.deepEqual(fields, {
      gomoteId: 'a',
      command: 'b',
      systemLevel: true,
      debug: true,
      appendEnvironment: ['c'],
      path: ['d'],
      directory: 'e',
      args: ['f'],
      imitateHostType: 'g',
    });
    const said = { $typeName: output.typeName, output: Uint8Array.of(0xff) };
    assert.equal(Buffer.from(toBinary(output, said as never)).toString('hex'), '0a01ff');
    const created = { $typeName: 'protos.CreateInstanceResponse', status: instanceStatus.waiting, waitersAhead: 3n };
    assert.equal(Buffer.from(toBinary(streamMethod('CreateInstance').output, created as never)).toString('hex'), '10011803');
    const file = fromBinary(onceMethod('WriteFileFromURL').input, Buffer.from('25ed010000', 'hex')) as unknown as Answer;
    assert.equal(file['mode'], 0o755);
  });
});

describe('6.1, 6.3: who may do what', () => {
  test('only a bearer token counts: not the local user, nor the headers of an identity proxy', async () => {
    await using stage = await openProxyStage(machine.address);
    const missing = 'Unauthenticated request does not contain the required authentication';
    assert.equal(await codeOf(clientOf(stage, '').authenticate!({})), missing);
    const response = await fetch(`${stage.listener.url}/protos.GomoteService/Authenticate`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-goog-authenticated-user-id': 'accounts.google.com:1',
        'x-goog-authenticated-user-email': 'accounts.google.com:ann@x.org',
      },
      body: '{}',
    });
    assert.equal(response.status, 401);
    assert.match(await codeOf(clientOf(stage, 'croft_00').authenticate!({})), /^Unauthenticated/);
    assert.equal(await codeOf(clientOf(stage).authenticate!({})), 'ok');
  });

  test('a session that is not there and one of somebody else are told apart in Go’s words; foreign calls are no use', async () => {
    await using stage = await openProxyStage(machine.address);
    const bob = clientOf(stage, await stage.token('bob'));
    const requests: Answer = { command: 'true', directory: '.', paths: ['x'], url: 'http://x/', publicSshKey: new Uint8Array(1) };
    const once = [
      'addBootstrap',
      'destroyInstance',
      'instanceAlive',
      'listDirectory',
      'readTGZToURL',
      'removeFiles',
      'signSSHKey',
      'writeFileFromURL',
      'writeTGZFromURL',
    ];
    for (const method of once) {
      const foreign = await codeOf(bob[method]!({ ...requests, gomoteId }));
      assert.equal(foreign, 'PermissionDenied not allowed to modify this gomote session', method);
      const unknown = await codeOf(bob[method]!({ ...requests, gomoteId: 'ann-linux-9' }));
      assert.equal(unknown, 'NotFound specified gomote instance does not exist', method);
    }
    assert.equal((await outputOf(bob, { command: 'true' })).end, 'PermissionDenied not allowed to modify this gomote session');
    assert.equal(stage.sessions.entered.get(sessionId) ?? 0, 0);
    assert.deepEqual(((await bob.listInstances!({})) as { instances: unknown[] }).instances, []);
  });

  test('what is missing is told in Go’s words', async () => {
    await using stage = await openProxyStage(machine.address);
    const client = clientOf(stage);
    assert.equal(await codeOf(client.destroyInstance!({})), 'InvalidArgument invalid gomote ID');
    assert.equal(await codeOf(client.listDirectory!({ gomoteId })), 'InvalidArgument invalid arguments');
    assert.equal(await codeOf(client.removeFiles!({ gomoteId })), 'InvalidArgument invalid arguments');
    assert.equal(await codeOf(client.writeTGZFromURL!({ gomoteId })), 'InvalidArgument missing URL');
    assert.equal(await codeOf(Array.fromAsync(client.createInstance!({}))), 'InvalidArgument invalid builder type');
    assert.equal(
      await codeOf(Array.fromAsync(client.createInstance!({ builderType: 'toString' }))),
      'InvalidArgument unknown builder type',
    );
    assert.match(await codeOf(client.signSSHKey!({ gomoteId, publicSshKey: new Uint8Array(1) })), /^Unimplemented/);
  });
});

describe('instances', () => {
  test('are created, listed and destroyed under names without user-', async () => {
    await using stage = await openProxyStage(machine.address);
    const client = clientOf(stage);
    const [last] = await Array.fromAsync(client.createInstance!({ builderType: 'linux' }));
    const instance = (last as { instance: Answer }).instance;
    assert.equal(instance['gomoteId'], 'ann-linux-1');
    assert.equal(last?.['status'], instanceStatus.complete);
    assert.ok((instance['expires'] as bigint) > 1_700_000_000n);
    const { instances } = (await client.listInstances!({})) as { instances: Answer[] };
    assert.deepEqual(new Set(instances.map((one) => one['gomoteId'])), new Set(['ann-linux-0', 'ann-linux-1']));
    await client.instanceAlive!({ gomoteId: 'ann-linux-1' });
    await client.destroyInstance!({ gomoteId: 'ann-linux-1' });
    assert.equal(await codeOf(client.instanceAlive!({ gomoteId: 'ann-linux-1' })), 'NotFound specified gomote instance does not exist');
    assert.deepEqual((await client.listSwarmingBuilders!({}))['builders'], ['linux']);
    const audited = await stage.app.audited();
    assert.deepEqual(audited, ['ann: session.create linux', 'ann: session.end ann-linux-1']);
  });
});

describe('ExecuteCommand', () => {
  test('RUN-4: every byte comes as it is, and the exit status with it', async () => {
    await using stage = await openProxyStage(machine.address, { ground: { env: { A: '1', B: '2' }, workDir: machine.workDir } });
    const client = clientOf(stage);
    const script = String.raw`printf '%%d %s \0 \377' "$A$B"; exit 3`;
    const asked = { command: '/bin/sh', systemLevel: true, args: ['-c', script], appendEnvironment: ['A=x', 'A=$(id) "ü'] };
    const { output, end, exit } = await outputOf(client, asked);
    assert.deepEqual(output, Buffer.concat([Buffer.from('%d $(id) "ü2 '), Buffer.from([0, 0x20, 0xff])]));
    assert.equal(end, 'Unknown command execution failed: exit status 3');
    assert.equal(exit, '3');
    assert.deepEqual(await outputOf(client, { command: 'true', systemLevel: true }), { output: Buffer.alloc(0), end: 'ok', exit: '0' });
    assert.match((await outputOf(client, { command: '/no/such/program' })).end, /^Aborted unable to execute command: /);
    assert.match((await outputOf(client, { command: '' })).end, /^Aborted unable to execute command: requires 'cmd' parameter/);
  });

  test('directories and paths are those that were asked for', async () => {
    await using stage = await openProxyStage(machine.address, { ground: { workDir: machine.workDir, env: {}, path: ['/own'] } });
    const client = clientOf(stage);
    const told = async (request: Answer): Promise<string> =>
      (await outputOf(client, { command: '/bin/sh', systemLevel: true, ...request })).output.toString().trim();
    const pwd = { args: ['-c', 'pwd'] };
    assert.equal(await told(pwd), machine.workDir);
    assert.equal(await told({ ...pwd, directory: '/' }), '/');
    assert.equal(await told({ ...pwd, directory: '/no/such' }), "/bin/sh: 1: cd: can't cd to /no/such".replace('/bin/sh', 'sh'));
    const path = { args: ['-c', 'echo "$PATH"'] };
    const usual = await told({ ...path, path: ['$PATH'] });
    assert.equal(await told(path), `${usual}:/own`);
    assert.equal(await told({ ...path, path: ['$WORKDIR/x', '$PATH'] }), `${machine.workDir}/x:${usual}`);
    assert.equal(await told({ ...path, path: ['$PATH', '/a', '$WORKDIR/b'] }), `${usual}:/a:${machine.workDir}/b`);
    assert.equal(await told({ ...path, path: ['/bin', '/usr/bin'] }), '/bin:/usr/bin');
    const quoted = await told({
      args: ['-c', 'printf "%s|" "$@"', 'x', 'a b', '$HOME', "'"],
      directory: '/',
      path: ['/it\'s "$(id)"', '$PATH'],
    });
    assert.equal(quoted, "a b|$HOME|'|");
  });

  test('a command that says nothing counts as use of its session until it ends', async () => {
    const uses = countUses();
    await using stage = await openProxyStage(machine.address, { sessionsLike: uses.counting, ground: { workDir: machine.workDir } });
    const client = clientOf(stage);
    const script = 'touch begun; until test -e on2; do sleep 0.05; done; rm on2 begun';
    const running = outputOf(client, { command: '/bin/sh', systemLevel: true, args: ['-c', script] });
    while (uses.open === 0) await systemClock.sleep(10);
    assert.equal((await outputOf(client, { command: 'touch', systemLevel: true, args: ['on2'] })).end, 'ok');
    assert.equal((await running).end, 'ok');
    while (uses.open > 0) await systemClock.sleep(10);
  });

  test('the variables of another builder take the place of the session’s', async () => {
    const sessionsLike = (plain: FakeSessions): FakeSessions => ({
      ...plain,
      async enter(who, of) {
        const entered = await plain.enter(who, of);
        const other = { ...entered.ground, env: { A: 'other' } };
        return { ...entered, groundAs: (name) => (name === 'race' ? other : undefined), [Symbol.dispose]() {} };
      },
    });
    await using stage = await openProxyStage(machine.address, {
      sessionsLike,
      ground: { workDir: machine.workDir, env: { A: '1', B: '2' } },
    });
    const asked = { command: '/bin/sh', systemLevel: true, args: ['-c', 'echo "$A|$B"'] };
    assert.equal((await outputOf(clientOf(stage), { ...asked, imitateHostType: 'race' })).output.toString(), 'other|\n');
    const unknown = await outputOf(clientOf(stage), { ...asked, imitateHostType: 'plan9' });
    assert.equal(unknown.end, 'Internal unable to retrieve configuration for instance');
  });

  test('long output comes whole', async () => {
    await using stage = await openProxyStage(machine.address, { ground: { workDir: machine.workDir } });
    const { output, end } = await outputOf(clientOf(stage), {
      command: '/bin/sh',
      args: ['-c', 'head -c 20000000 /dev/zero'],
      systemLevel: true,
    });
    assert.deepEqual([output.length, end], [20_000_000, 'ok']);
  });
});

test('bytes that are no message cost their call and nothing else', async () => {
  await using stage = await openProxyStage(machine.address);
  const headers = { 'content-type': 'application/proto', authorization: `Bearer ${stage.address.token}` };
  const names = gomoteService.methods.map(({ name }) => name).filter((one) => !/Create|Execute|Streaming/.test(one));
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...names), fc.uint8Array({ maxLength: 200 }), async (method, body) => {
      const answer = await fetch(`${stage.listener.url}/protos.GomoteService/${method}`, { method: 'POST', headers, body });
      assert.ok(answer.status < 600);
      await answer.arrayBuffer();
    }),
    { numRuns: 150 },
  );
  assert.equal(await codeOf(clientOf(stage).authenticate!({})), 'ok');
});

describe('files', () => {
  const upload = async (client: Client, content: string | Uint8Array, fields?: Answer): Promise<{ status: number; url: string }> => {
    const given = (await client.uploadFile!({})) as { url: string; fields: Record<string, string>; objectName: string };
    const form = new FormData();
    for (const [name, value] of Object.entries({ ...given.fields, ...fields })) form.append(name, String(value));
    form.append('file', new Blob([content as BlobPart]), 'x');
    const { status } = await fetch(given.url, { method: 'POST', body: form });
    return { status, url: given.url + given.objectName };
  };

  test('XFER-1, XFER-2: what was uploaded is written with its mode, listed, and comes back as an archive', async () => {
    await using stage = await openProxyStage(machine.address);
    const client = clientOf(stage);
    const { status, url } = await upload(client, 'hello');
    assert.equal(status, 204);
    await client.writeFileFromURL!({ gomoteId, url, filename: 'in/run.sh', mode: 0o755 });
    const { entries } = (await client.listDirectory!({ gomoteId, directory: 'in', digest: true })) as { entries: string[] };
    assert.match(entries[0] ?? '', /^-rwxr-xr-x\trun\.sh\t5\t\S+\taaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d$/);
    const { url: archive } = (await client.readTGZToURL!({ gomoteId, directory: 'in' })) as { url: string };
    const packed = new Uint8Array(await (await fetch(archive)).arrayBuffer());
    const sent = await upload(client, packed);
    await client.writeTGZFromURL!({ gomoteId, url: sent.url, directory: 'again' });
    const streamed = (await Array.fromAsync(client.listDirectoryStreaming!({ gomoteId, directory: '.', recursive: true }))) as {
      entries: string[];
    }[];
    const names = streamed.flatMap((one) => one.entries.map((entry) => entry.split('\t')[1]));
    assert.ok(names.includes('again/run.sh') && names.includes('in/run.sh'));
    await client.removeFiles!({ gomoteId, paths: ['in', 'again'] });
    assert.match(await codeOf(client.readTGZToURL!({ gomoteId, directory: 'in' })), /^Aborted unable to retrieve tar/);
  });

  test('XFER-5, done better: an object is its owner’s, is sent once, and only by whoever was invited', async () => {
    await using stage = await openProxyStage(machine.address);
    const client = clientOf(stage);
    const { url } = await upload(client, 'mine');
    await stage.sessions.share({ name: 'ann', role: 'developer', repos: [] }, sessionId, ['bob']);
    const bob = clientOf(stage, await stage.token('bob'));
    assert.equal(await codeOf(bob.writeFileFromURL!({ gomoteId, url, filename: 'x', mode: 0o644 })), 'InvalidArgument invalid object URL');
    assert.equal(await codeOf(client.writeTGZFromURL!({ gomoteId, url: `${url}0`, directory: '' })), 'InvalidArgument invalid object URL');
    assert.equal((await upload(client, 'x', { signature: '0'.repeat(32) })).status, 403);
    const given = (await client.uploadFile!({})) as { url: string; fields: Record<string, string> };
    const send = async (): Promise<number> => {
      const form = new FormData();
      for (const [name, value] of Object.entries(given.fields)) form.append(name, value);
      form.append('file', new Blob(['twice']), 'x');
      return (await fetch(given.url, { method: 'POST', body: form })).status;
    };
    assert.deepEqual([await send(), await send()], [204, 409]);
    assert.equal((await fetch(url)).status, 403, 'a name alone gets nothing');
  });

  test('XFER-3, done better: the server fetches nothing from where only it can reach', async () => {
    await using stage = await openProxyStage(machine.address);
    const secret = createServer((_, response) => response.end('secret')).listen(0, '127.0.0.1');
    await once(secret, 'listening');
    const { port } = secret.address() as AddressInfo;
    for (const url of [
      `http://127.0.0.1:${port}/`,
      `http://localhost:${port}/`,
      'http://[::1]/',
      'http://169.254.169.254/',
      'http://0x7f.1/',
      'file:///etc/passwd',
      'nonsense',
      '',
    ]) {
      const told = await codeOf(clientOf(stage).writeFileFromURL!({ gomoteId, url, filename: 'x', mode: 0o644 }));
      assert.match(told, /^Aborted failed to get file from URL: /, url);
    }
    secret.close();
  });
});
