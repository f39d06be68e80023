/** Logs as bytes and as events. The bytes are never shown as anything but text: no type is guessed and nothing in them runs. */
import type { Hono } from 'hono';
import type { BuildId } from '@croft/domain/names';
import { operations, type OperationName } from '@croft/protocol/operations';
import type { Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { parseInput } from '@croft/web/body';
import { bodyOf, eventStream, type ServerEvent, type Streaming } from '@croft/web/event-stream';
import { requireRole } from '@croft/web/identity';
import type { LogReader } from '../capabilities.ts';
import type { AppContext, AppEnv } from './context.ts';
import { checkParams, routePath } from './perform.ts';
import { answerBytes } from './stored-bytes.ts';

const chunkBytes = 65_536;

export function mountLogs(app: Hono<AppEnv>, deps: { clock: Clock; log: Log }): void {
  const mount = (name: OperationName, answer: (c: AppContext, params: Record<string, string>) => Promise<Response>): void => {
    app.get(routePath(operations[name].path), async (c) => {
      requireRole(c.var.who, operations[name].role);
      return answer(c, checkParams(c.req.param() as Record<string, string>) as Record<string, string>);
    });
  };
  const streaming = (c: AppContext): Streaming => ({ request: c.req.raw, connection: c.env.connection, ...deps });

  mount('log.last', async (c, { build = '' }) => bytes(c, await c.var.capabilities.log(build as BuildId, 0), `${build}.0`, streaming(c)));
  mount('log.attempt', async (c, { build = '', attempt = '' }) =>
    bytes(c, await c.var.capabilities.log(build as BuildId, Number(attempt)), `${build}.${attempt}`, streaming(c)),
  );
  mount('log.byHash', async (c, { sha1 = '' }) => {
    const log = await c.var.capabilities.logByHash(sha1);
    if (!log) throw new CroftError('not-found', `there is no log ${sha1}`);
    return bytes(c, log, sha1, streaming(c));
  });
  mount('log.follow', async (c, { build = '', attempt = '' }) => {
    const log = await c.var.capabilities.log(build as BuildId, Number(attempt));
    const { from } = parseInput(
      operations['log.follow'].query,
      { from: c.req.header('last-event-id') ?? c.req.query('from') },
      'the query',
    );
    if (from > log.length) throw new CroftError('invalid', `the log has ${log.length} bytes; ${from} is behind its end`);
    if (c.req.method === 'HEAD') return new Response(null, { headers: { 'content-type': 'text/event-stream' } });
    return eventStream(({ signal }) => events(log, from, signal), streaming(c));
  });
}

/** `name` stands for content that never changes once the log is complete. */
function bytes(c: AppContext, log: LogReader, name: string, streaming: Streaming): Response {
  const { length, live } = log;
  const headers = new Headers({
    'content-type': 'text/plain; charset=utf-8',
    'x-content-type-options': 'nosniff',
    'cache-control': 'private, no-cache',
    'croft-log': live ? 'live' : 'complete',
  });
  if (live && c.req.query('follow') === '1') {
    headers.set('accept-ranges', 'bytes');
    return new Response(c.req.method === 'HEAD' ? null : bodyOf(({ signal }) => log.follow(0, { signal }), streaming), { headers });
  }
  const tag = live ? undefined : `"${name}.${length}"`;
  return answerBytes(c, { what: 'the log', length, tag, headers, read: (range) => log.read(range) }, streaming);
}

/** The id of each chunk is the offset behind it, so a reader that comes back with the last id misses nothing. */
async function* events(log: LogReader, start: number, signal: AbortSignal | undefined): AsyncIterable<ServerEvent> {
  let from = start;
  for await (const chunk of log.follow(from, { signal })) {
    for (let at = 0; at < chunk.length; at += chunkBytes) {
      const part = chunk.subarray(at, at + chunkBytes);
      const data = { from, b64: part.toString('base64') };
      from += part.length;
      yield { event: 'chunk', id: String(from), data };
    }
  }
  yield { event: 'end', data: { bytes: from } };
}
