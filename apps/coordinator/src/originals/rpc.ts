/** The originals' gRPC service `protos.Coordinator` (coordinator.md RET-6), also for Connect clients over HTTP/1: clears results by a builder's key. */
import { Code, ConnectError, createContextKey, createContextValues, type HandlerContext } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { parseBuilderName, parseRevision } from '@croft/domain/names';
import { authorizationHeader, clearResultsMethod, coordinatorService, type ClearResultsRequest } from '@croft/protocol/coordinator-service';
import { asCroftError, CroftError, type ErrorCode } from '@croft/runtime/errors';
import type { Connection } from '@croft/web/connection';
import { guard, type GuardOptions } from '@croft/web/guard';
import type { Incoming, Outgoing, RawHandler } from '@croft/web/listener';
import type { Admitted, Asking } from './admit.ts';
import type { Dashboard } from './dashboard.ts';

export interface RpcDeps extends GuardOptions {
  readonly dashboard: Dashboard;
  readonly admit: (asking: Asking) => Promise<Admitted>;
}

const readLimitBytes = 65_536;
const connectionKey = createContextKey<Connection | undefined>(undefined);

export function createRpc(deps: RpcDeps): RawHandler {
  const connections = new WeakMap<object, Connection>();
  const answer = connectNodeAdapter({
    readMaxBytes: readLimitBytes,
    contextValues: (incoming) => createContextValues().set(connectionKey, connections.get(incoming)),
    routes: (router) => router.rpc(clearResultsMethod, (request, context) => clear(request as Partial<ClearResultsRequest>, context, deps)),
  });
  return {
    takes: ({ url }) => url?.startsWith(`/${coordinatorService.typeName}/`) ?? false,
    answer(incoming: Incoming, outgoing: Outgoing, connection) {
      connections.set(incoming, connection);
      answer(incoming, outgoing);
    },
  };
}

async function clear(
  { builder = '', hash = '' }: Partial<ClearResultsRequest>,
  context: HandlerContext,
  deps: RpcDeps,
): Promise<Record<string, never>> {
  try {
    const connection = context.values.get(connectionKey);
    if (!connection) throw new CroftError('internal', 'a call came without its connection');
    const { url, requestMethod: method, requestHeader: headers } = context;
    guard(new Request(url, { method, headers }), connection, deps);
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
    const { packages } = deps.dashboard;
    await deps.dashboard.clear({ builder: parseBuilderName(builder), repo: packages.repoOf(''), revisions: [parseRevision(hash)] });
    return {};
  } catch (error) {
    const { code, message } = asCroftError(error, 'internal', 'clearing results');
    throw new ConnectError(code === 'internal' ? 'something is wrong inside the farm' : message, rpcCodes[code]);
  }
}

/** @throws CroftError `unauthenticated` */
function keyIn(header: string | null): string {
  const [, key] = /^builder +(\S+)$/.exec(header ?? '') ?? [];
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
