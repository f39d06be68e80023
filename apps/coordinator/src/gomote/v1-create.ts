/** `POST /buildlet/create` of the v1 protocol, as its clients of each era know it (V1-2 to V1-6). */
import type { SessionView } from '@croft/protocol/sessions';
import { createStreamVersion, supportedVersionHeader } from '@croft/protocol/remote-buildlets';
import type { Clock } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Audit } from '../auth/audit.ts';
import type { Farmer } from '../originals/farmer.ts';
import { nameOf } from '../routes/perform.ts';
import type { Sessions } from '../sessions/sessions.ts';
import { lend } from './lend.ts';
import { TextAnswer } from './text-answer.ts';
import { instanceOf } from './v1-instance.ts';
import type { V1Person } from './v1-people.ts';
import { readWhole, type Visit } from './visit.ts';

export interface CreateDeps {
  readonly sessions: Sessions;
  readonly farmer: Pick<Farmer, 'builders' | 'hosts'>;
  readonly audit: Pick<Audit, 'asked' | 'refused'>;
  readonly clock: Clock;
  readonly log: Log;
}

const leastVersion = '20160922';
const maxFormBytes = 65_536;

export async function createInstance(visit: Visit, { who, user }: V1Person, deps: CreateDeps): Promise<void> {
  const { outgoing, incoming } = visit;
  if (incoming.method !== 'POST') throw new TextAnswer(400, 'POST required');
  const { version, builder } = await wishOf(visit, deps);
  await deps.audit.asked({ who: nameOf(who), what: 'session.create', target: builder, from: visit.from });
  outgoing.setHeader(supportedVersionHeader, createStreamVersion);
  outgoing.setHeader('content-type', 'application/json; charset=utf-8');
  const streams = version >= createStreamVersion;
  if (streams) outgoing.flushHeaders();
  const say = (line: object): void => void outgoing.write(`${JSON.stringify(line)}\n`);
  try {
    for await (const { isFirst, session } of lend(who, builder, { ...deps, gone: visit.gone })) {
      if (session.state === 'active') say(streams ? { buildlet: instanceOf(session, user) } : instanceOf(session, user));
      else if (streams) say({ status: isFirst ? await hostsOf(session, deps) : { message: '', ahead: session.wait?.position ?? 0 } });
    }
  } catch (error) {
    if (visit.gone.aborted) throw error;
    deps.log.warn('machine not lent to gomote', { who: who.name, builder, error: errorText(error) });
    if (!streams) throw new TextAnswer(500, errorText(error));
    say({ error: errorText(error) });
  }
  outgoing.end();
}

async function wishOf(visit: Visit, { farmer }: CreateDeps): Promise<{ version: string; builder: string }> {
  const isForm = /^application\/x-www-form-urlencoded/i.test(visit.request.headers.get('content-type') ?? '');
  const form = new URLSearchParams(isForm ? (await readWhole(visit, maxFormBytes)).toString('utf8') : '');
  const query = new URL(visit.request.url).searchParams;
  const value = (name: string): string => form.get(name) ?? query.get(name) ?? '';
  const version = value('version');
  if (version < leastVersion) {
    const old = `gomote client version ${JSON.stringify(version)} is too old; predates server minimum version "${leastVersion}"`;
    throw new TextAnswer(400, old);
  }
  const builder = value('builderType');
  if (builder === '') throw new TextAnswer(400, "missing 'builderType' parameter");
  if (!Object.hasOwn(farmer.builders, builder)) throw new TextAnswer(400, "unknown builder type in 'builderType' parameter");
  return { version, builder };
}

/** V1-6: who has to wait is told how many machines there are. */
async function hostsOf({ builder }: SessionView, { farmer }: CreateDeps): Promise<object> {
  const type = farmer.builders[builder]?.HostType ?? '';
  const host = (await farmer.hosts())[type];
  const of = host ? `${host.Connected} of ${host.Expect} machines connected, ${host.Busy} busy` : 'no machines are connected';
  return { message: `host type ${JSON.stringify(type)} is not elastic; ${of}`, ahead: 0 };
}
