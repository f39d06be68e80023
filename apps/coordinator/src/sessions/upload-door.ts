/**
 * Where the form of a session's page sends files without a script: `POST /sessions/SESSION/files`. They go on to the machine as they come, in
 * constant memory and for as long as it takes. With scripts each file is a request to the machine (gomote/machine-proxy.ts).
 */
import type { Waits, Clock } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { failureOf } from '@croft/web/failure';
import { secureHeaders } from '@croft/web/headers';
import { requireRole, type Identify, type Identity } from '@croft/web/identity';
import type { RawHandler } from '@croft/web/listener';
import { readMultipart } from '@croft/web/multipart';
import type { Audit } from '../auth/audit.ts';
import { receive, type Visit, type VisitOptions } from '../gomote/visit.ts';
import type { Pages } from '../routes/context.ts';
import { nameOf } from '../routes/perform.ts';
import { writeFile } from './session-files.ts';
import type { Entered, Sessions } from './sessions.ts';

export interface UploadDoorDeps extends VisitOptions {
  readonly sessions: Pick<Sessions, 'enter'>;
  readonly identify: Identify;
  readonly audit: Pick<Audit, 'asked' | 'refused'>;
  readonly pages: Pick<Pages, 'failure'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const address = /^\/sessions\/([A-Za-z0-9][A-Za-z0-9._-]{0,219})\/files(?:\?|$)/;
/** As the audit trail calls the writing of a file, whichever way it comes. */
const what = 'session.write';

export function createUploadDoor(deps: UploadDoorDeps): RawHandler {
  return {
    takes: ({ method, url = '' }) => method === 'POST' && address.test(url),
    takesLong: true,
    answer(incoming, outgoing, connection) {
      const form = outgoing as Visit['outgoing'];
      const serve = async (): Promise<string> => take(receive(incoming, outgoing, connection, deps), deps);
      serve().then(
        (place) => form.writeHead(303, { location: place }).end(),
        (error: unknown) => sendFailure(form, error, deps),
      );
    },
  };
}

/** Answers with where to go on. */
async function take(visit: Visit, deps: UploadDoorDeps): Promise<string> {
  const [, name = ''] = address.exec(visit.target) ?? [];
  const who = await deps.identify(visit.request, visit.connection);
  using entered = await enter(name, who, { visit, deps });
  const dir = new URL(visit.request.url).searchParams.get('dir') ?? '';
  await writeAll(entered, dir, visit, { clock: deps.clock, signal: visit.gone });
  return `${entered.session.url}?${new URLSearchParams({ dir }).toString()}#files`;
}

async function enter(name: string, who: Identity, { visit, deps }: { visit: Visit; deps: UploadDoorDeps }): Promise<Entered> {
  const entry = { who: nameOf(who), what, target: name, from: visit.from };
  try {
    requireRole(who, 'developer');
    const entered = await deps.sessions.enter(who, name);
    await deps.audit.asked({ ...entry, target: entered.session.alias });
    return entered;
  } catch (error) {
    await deps.audit.refused(entry, errorText(error));
    throw error;
  }
}

async function writeAll(entered: Entered, dir: string, { incoming, request }: Visit, waits: Waits & { clock: Clock }): Promise<void> {
  const type = request.headers.get('content-type') ?? '';
  let count = 0;
  for await (const { filename, content } of readMultipart(type, incoming as AsyncIterable<Buffer>)) {
    if (!filename) continue;
    await writeFile(entered, dir === '' ? filename : `${dir}/${filename}`, content, waits);
    count += 1;
  }
  if (count === 0) throw new CroftError('invalid', 'no file was chosen');
}

/** The rest of the body is not read: the connection ends with the answer. */
async function sendFailure(outgoing: Visit['outgoing'], error: unknown, { pages, log, random }: UploadDoorDeps): Promise<void> {
  const { status, body, id } = failureOf(error, { log, random });
  const page = String(await pages.failure({ status, message: body.message, hint: body.hint, id }));
  if (outgoing.headersSent || outgoing.destroyed) return void outgoing.destroy();
  const headers = new Headers({ 'content-type': 'text/html; charset=utf-8', connection: 'close', 'cache-control': 'no-store' });
  secureHeaders(headers, { encrypted: false });
  outgoing.writeHead(status, Object.fromEntries(headers)).end(page);
}
