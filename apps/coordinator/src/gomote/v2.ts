/**
 * The v2 protocol of Go's gomote: the gRPC service `protos.GomoteService` (gomote-ssh.md 6), with tokens of this farm as bearers. Texts
 * and codes are Go's. @see docs/protocols/gomote.md#v2
 */
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from '@connectrpc/connect';
import { gomoteService, instanceStatus, onceMethod, streamMethod } from '@croft/protocol/gomote-service';
import type { SessionView } from '@croft/protocol/sessions';
import { errorText } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import { nameOf } from '../routes/perform.ts';
import type { SshAccess } from '../door/access.ts';
import type { Farmer } from '../originals/farmer.ts';
import type { ConnectionOf, RpcDeps } from '../originals/rpc.ts';
import type { CommandRequest } from './command-run.ts';
import { lend } from './lend.ts';
import { as, callOf, enter, need, ofSession, type Call } from './v2-call.ts';
import { execute, exitCodeTrailer } from './v2-execute.ts';
import { listDirectory, readTgzToUrl, removeFiles, uploadFile, writeFileFromUrl, writeTgzFromUrl, type FilesDeps } from './v2-files.ts';

export interface V2Deps extends FilesDeps {
  readonly farmer: Pick<Farmer, 'builders'>;
  readonly random: Random;
  /** Undefined without an SSH door. */
  readonly ssh: Pick<SshAccess, 'certify'> | undefined;
}

interface OfGomote {
  readonly gomoteId: string;
}

/** Of one message: Go's clients send at most as much. */
const readMaxBytes = 4 * 1024 * 1024;

export function gomoteRpc(deps: V2Deps): NonNullable<RpcDeps['others']>[number] {
  return { typeName: gomoteService.typeName, add: (router, connectionOf) => addMethods(router, connectionOf, deps) };
}

function addMethods(router: ConnectRouter, connectionOf: ConnectionOf, deps: V2Deps): void {
  const options = { readMaxBytes };
  const once = <Request>(name: Parameters<typeof onceMethod>[0], act: (call: Call, request: Request) => Promise<object>): void => {
    const answer = async (request: unknown, context: HandlerContext): Promise<object> =>
      act(await callOf(context, connectionOf(context), deps), request as Request);
    router.rpc(onceMethod(name), answer as never, options);
  };
  const stream = <Request>(
    name: Parameters<typeof streamMethod>[0],
    act: (call: Call, request: Request, context: HandlerContext) => AsyncIterable<object>,
  ): void => {
    const answer = async function* (request: unknown, context: HandlerContext): AsyncGenerator<object> {
      yield* act(await callOf(context, connectionOf(context), deps), request as Request, context);
    };
    router.rpc(streamMethod(name), answer as never, options);
  };
  once('Authenticate', async () => ({}));
  once<OfGomote>('AddBootstrap', async (call, { gomoteId }) => {
    using _ = await enter(call, gomoteId, deps);
    return {}; // toolchains come with the machines here
  });
  stream<{ builderType: string }>('CreateInstance', (call, { builderType }) => createInstance(call, builderType, deps));
  once<OfGomote>('DestroyInstance', (call, { gomoteId }) => destroy(call, gomoteId, deps));
  stream<CommandRequest>('ExecuteCommand', (call, request, context) => executeCommand(call, request, context, deps));
  once<OfGomote>('InstanceAlive', async (call, { gomoteId }) => {
    need(gomoteId, 'invalid gomote ID');
    using _ = await enter(call, gomoteId, deps);
    return {};
  });
  once<Parameters<typeof listDirectory>[1]>('ListDirectory', async (call, request) => {
    const parts = await Array.fromAsync(listDirectory(call, request, deps));
    return { entries: parts.flatMap(({ entries }) => entries) };
  });
  stream<Parameters<typeof listDirectory>[1]>('ListDirectoryStreaming', (call, request) => listDirectory(call, request, deps));
  once('ListInstances', (call) => listInstances(call, deps));
  once('ListSwarmingBuilders', async () => ({ builders: Object.keys(deps.farmer.builders).toSorted() }));
  once<Parameters<typeof readTgzToUrl>[1]>('ReadTGZToURL', (call, request) => readTgzToUrl(call, request, deps));
  once<Parameters<typeof removeFiles>[1]>('RemoveFiles', (call, request) => removeFiles(call, request, deps));
  once<{ gomoteId: string; publicSshKey: Uint8Array }>('SignSSHKey', (call, request) => signKey(call, request, deps));
  once('UploadFile', (call) => uploadFile(call, deps));
  once<Parameters<typeof writeFileFromUrl>[1]>('WriteFileFromURL', (call, request) => writeFileFromUrl(call, request, deps));
  once<Parameters<typeof writeTgzFromUrl>[1]>('WriteTGZFromURL', (call, request) => writeTgzFromUrl(call, request, deps));
}

async function* createInstance(call: Call, builderType: string, deps: V2Deps): AsyncGenerator<object> {
  const { who, from, signal } = call;
  need(builderType, 'invalid builder type');
  if (!Object.hasOwn(deps.farmer.builders, builderType)) throw new ConnectError('unknown builder type', Code.InvalidArgument);
  await deps.audit.asked({ who: nameOf(who), what: 'session.create', target: builderType, from });
  try {
    for await (const { isFirst, session } of lend(who, builderType, { ...deps, gone: signal })) {
      if (session.state === 'active') yield { instance: instanceOf(session), status: instanceStatus.complete, waitersAhead: 0n };
      else if (!isFirst) yield { status: instanceStatus.waiting, waitersAhead: BigInt(session.wait?.position ?? 0) };
    }
  } catch (error) {
    if (signal.aborted) throw new ConnectError('timed out waiting for gomote instance to be created', Code.DeadlineExceeded);
    throw new ConnectError(`gomote creation failed: ${errorText(error)}`, Code.Unknown);
  }
}

async function destroy({ who, from }: Call, gomoteId: string, { sessions, audit }: V2Deps): Promise<object> {
  need(gomoteId, 'invalid gomote ID');
  try {
    const { id, alias } = await sessions.get(who, gomoteId);
    await audit.asked({ who: nameOf(who), what: 'session.end', target: alias, from });
    await sessions.end(who, id, 'destroyed with gomote');
    return {};
  } catch (error) {
    throw ofSession(error);
  }
}

async function listInstances({ who }: Call, { sessions }: V2Deps): Promise<object> {
  const own = await sessions.list(who, { mine: true });
  return { instances: own.filter(({ state }) => state === 'active').map(instanceOf) };
}

function instanceOf({ alias, builder, hostType = '', expiresAt = 0 }: SessionView): object {
  return { gomoteId: alias, builderType: builder, hostType, expires: BigInt(Math.floor(expiresAt / 1_000)) };
}

async function* executeCommand(call: Call, request: CommandRequest, context: HandlerContext, deps: V2Deps): AsyncGenerator<object> {
  using entered = await enter(call, request.gomoteId, deps, 'session.run');
  const { imitateHostType } = request;
  const ground = imitateHostType === '' ? entered.ground : entered.groundAs?.(imitateHostType);
  if (!ground) throw new ConnectError('unable to retrieve configuration for instance', Code.Internal);
  const output = execute({ ...deps, request, entered: { ...entered, ground }, signal: entered.signal });
  for (;;) {
    const next = await output.next();
    if (!next.done) yield { output: next.value };
    else {
      const { failure, code } = next.value;
      if (code !== undefined) context.responseTrailer.set(exitCodeTrailer, String(code));
      if (failure !== undefined) throw new ConnectError(`command execution failed: ${failure}`, Code.Unknown);
      return;
    }
  }
}

async function signKey(
  call: Call,
  { gomoteId, publicSshKey }: { gomoteId: string; publicSshKey: Uint8Array },
  deps: V2Deps,
): Promise<object> {
  using entered = await enter(call, gomoteId, deps, 'session.ssh-certificate');
  const { ssh } = deps;
  if (!ssh) throw new ConnectError('this farm has no SSH door', Code.Unimplemented);
  const line = Buffer.from(publicSshKey).toString('utf8').trim();
  const { certificate } = await as(Code.InvalidArgument, 'unable to sign ssh key', async () =>
    ssh.certify(call.who, entered.session, line),
  );
  return { signedPublicSshKey: Buffer.from(`${certificate}\n`) };
}
