/**
 * The originals' gRPC service `protos.Coordinator` (coordinator.md RET-6), also for Connect clients over HTTP/1: clears results by a
 * builder's key. Every other call of gRPC is answered here too, in its own terms: nobody implements it.
 */
import { Code, ConnectError, createContextKey, createContextValues, type ConnectRouter, type HandlerContext } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { parseBuilderName, parseRevision } from '@croft/domain/names';
import { authorizationHeader, clearResultsMethod, coordinatorService, type ClearResultsRequest } from '@croft/protocol/coordinator-service';
import { CroftError, type ErrorCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import type { Connection } from '@croft/web/connection';
import { failureOf } from '@croft/web/failure';
import { guard, type GuardOptions } from '@croft/web/guard';
import type { Incoming, Outgoing, RawHandler } from '@croft/web/listener';
import type { Admitted, Asking } from './admit.ts';
import type { Dashboard } from './dashboard.ts';

export interface RpcDeps extends GuardOptions {
  readonly dashboard: Dashboard;
  readonly admit: (asking: Asking) => Promise<Admitted>;
  /** Further services: their methods, and the beginning of their addresses. */
  readonly others?: readonly { readonly typeName: string; add(router: ConnectRouter, connectionOf: ConnectionOf): void }[];
  readonly log: Log;
  readonly random: Random;
}

export type ConnectionOf = (context: HandlerContext) => Connection;

const readLimitBytes = 65_536;
const connectionKey = createContextKey<Connection | undefined>(undefined);

export function createRpc(deps: RpcDeps): RawHandler {
  const connections = new WeakMap<object, Connection>();
  const { others = [] } = deps;
  const addresses = [coordinatorService.typeName, ...others.map(({ typeName }) => typeName)].map((name) => `/${name}/`);
  const answer = connectNodeAdapter({
    readMaxBytes: readLimitBytes,
    contextValues: (incoming) => createContextValues().set(connectionKey, connections.get(incoming)),
    routes(router) {
      router.rpc(clearResultsMethod, (request, context) => clear(request as Partial<ClearResultsRequest>, context, deps));
      for (const other of others) other.add(router, connectionOf);
    },
    fallback: ({ headers }, outgoing) => unimplemented(isGrpc(headers['content-type']), outgoing),
  });
  return {
    takes: ({ url, headers }) => isGrpc(headers['content-type']) || addresses.some((address) => url?.startsWith(address)),
    answer(incoming: Incoming, outgoing: Outgoing, connection) {
      connections.set(incoming, connection);
      answer(incoming, outgoing);
    },
  };
}

function connectionOf(context: HandlerContext): Connection {
  const connection = context.values.get(connectionKey);
  if (!connection) throw new CroftError('internal', 'a call came without its connection');
  return connection;
}

function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?:$|[+;])/.test(contentType);
}

interface Answering {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(): unknown;
}

/**
 * The status of a call stands in the head where there is no body, and that head must end the stream: strict clients take an empty
 * body behind it for a cut answer. A Connect client reads 404 the same way.
 */
function unimplemented(grpc: boolean, outgoing: Answering): void {
  outgoing.statusCode = grpc ? 200 : 404;
  if (grpc) {
    outgoing.setHeader('content-type', 'application/grpc');
    outgoing.setHeader('grpc-status', String(Code.Unimplemented));
    outgoing.setHeader('grpc-message', 'this farm has no such method');
  }
  outgoing.end();
}

async function clear(
  { builder = '', hash = '' }: Partial<ClearResultsRequest>,
  context: HandlerContext,
  deps: RpcDeps,
): Promise<Record<string, never>> {
  try {
    const connection = connectionOf(context);
    const { url, requestMethod: method, requestHeader: headers } = context;
    guard(new Request(url, { method, headers }), connection, deps);
    context.signal.throwIfAborted();
    if (builder === '' || hash === '') throw new CroftError('invalid', 'Builder and Hash must be provided');
    await deps.admit({
      what: 'original.clear-results',
      target: `${builder} ${hash}`,
      from: connection.remoteAddress,
      key: keyIn(headers.get(authorizationHeader)),
      builder,
      who: { name: 'anonymous', role: undefined, repos: [], via: 'nothing' },
      role: 'developer',
    });
    const wish = { builder: parseBuilderName(builder), repo: deps.dashboard.packages.repoOf(''), revisions: [parseRevision(hash)] };
    await deps.dashboard.clear(wish, context);
    return {};
  } catch (error) {
    if (error instanceof ConnectError) throw error; // the caller's deadline
    const { code, message } = failureOf(error, deps).body;
    throw new ConnectError(message, rpcCodes[code as ErrorCode]);
  }
}

/** @throws CroftError `unauthenticated` */
function keyIn(header: string | null): string {
  const [, key] = /^builder +(\S.*)$/.exec(header ?? '') ?? [];
  if (key !== undefined) return key;
  throw new CroftError('unauthenticated', `there is no builder key; send "${authorizationHeader}: builder KEY"`);
}

const rpcCodes: Record<ErrorCode, Code> = {
  invalid: Code.InvalidArgument,
  unauthenticated: Code.Unauthenticated,
  forbidden: Code.PermissionDenied,
  'not-found': Code.NotFound,
  conflict: Code.Aborted,
  stale: Code.Aborted,
  exhausted: Code.ResourceExhausted,
  'too-large': Code.ResourceExhausted,
  timeout: Code.DeadlineExceeded,
  unavailable: Code.Unavailable,
  stopped: Code.Unavailable,
  cancelled: Code.Canceled,
  internal: Code.Internal,
};
