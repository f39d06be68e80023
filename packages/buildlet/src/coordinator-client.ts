/**
 * Go's coordinator as gomote clients of 2016 to 2022 see it: buildlets are borrowed, listed, and driven by way of it under the names that
 * it gave them. @see buildlet.md 3.9
 */
import type { IncomingMessage } from 'node:http';
import {
  createLineSchema,
  createStreamVersion,
  remoteBuildletSchema,
  remoteBuildletsSchema,
  supportedVersionHeader,
  type RemoteBuildlet,
  type WaitStatus,
} from '@croft/protocol/remote-buildlets';
import { MINUTE, SECOND, anySignal, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, asCroftError } from '@croft/runtime/errors';
import type { BuildletAddress } from './address.ts';
import { createExchange, parseJson, readCapped, refused, type Question } from './exchange.ts';
import { setAlarm } from './go/alarm.ts';
import { linesOf } from './go/lines.ts';
import { formBody } from './go/questions.ts';
import { createGoClient, type GoClient, type GoClientOptions } from './go-client.ts';

export type { RemoteBuildlet, WaitStatus } from '@croft/protocol/remote-buildlets';
export { readUserAuth } from './go/user-auth.ts';

export interface CoordinatorOptions {
  readonly clock: Clock;
  readonly auth: UserAuth;
  /** Of the authority that signed the coordinator's certificate, PEM; the system's without one, and none on `localhost`. */
  readonly ca?: string | undefined;
  /** The name in that certificate, where it is not the host. */
  readonly serverName?: string | undefined;
}

export interface UserAuth {
  /** `user-gopher`. */
  readonly user: string;
  readonly password: string;
}

export interface Creating extends Waits {
  /** How it stands, every few seconds; only from coordinators that tell. */
  readonly onStatus?: ((status: WaitStatus) => void) | undefined;
}

export interface CoordinatorClient extends AsyncDisposable {
  /** Waits until a machine is there; an abort gives the place in the queue up. */
  createBuildlet(builderType: string, waits: Creating): Promise<GoClient>;
  /** Names are not looked up: `status` of the client tells whether it works. Its heartbeats keep the machine lent. */
  namedBuildlet(name: string, options?: Omit<GoClientOptions, 'clock' | 'remoteName'>): GoClient;
  /** One's own. */
  remoteBuildlets(waits: Waits): Promise<RemoteBuildlet[]>;
}

const listMs = 30 * SECOND;
/** Coordinators that tell how it stands do so every 5 s. */
const quietMs = MINUTE;
const maxAnswerBytes = 4 * 1024 * 1024;
const prodInstance = 'farmer.golang.org:443';

/** @param instance `host:port`, `host` (port 443), `localhost:8119`, or `prod` for Go's own */
export function createCoordinatorClient(instance: string, { clock, auth, ...tls }: CoordinatorOptions): CoordinatorClient {
  const address = coordinatorAddress(instance, { ...tls, auth });
  const exchange = createExchange(address, clock);
  const namedBuildlet: CoordinatorClient['namedBuildlet'] = (name, options = {}) =>
    createGoClient(address, { ...options, clock, remoteName: name });
  return {
    async createBuildlet(builderType, { signal, onStatus }) {
      const silent = new AbortController();
      const waits = { signal: anySignal(signal, silent.signal) };
      const response = await exchange.open(createQuestion(builderType), waits);
      try {
        if (response.statusCode !== 200) throw await refusal(response);
        const isStream = String(response.headers[supportedVersionHeader] ?? '') >= createStreamVersion;
        const made = isStream ? await lastLine(response, { clock, silent, onStatus }) : await onlyAnswer(response);
        if (made.name !== '') return namedBuildlet(made.name);
        throw new CroftError('unavailable', "buildlet: coordinator's /buildlet/create returned an unnamed buildlet");
      } catch (error) {
        throw asCroftError(waits.signal.aborted ? waits.signal.reason : error, 'unavailable', `create a ${builderType}`);
      } finally {
        response.on('error', () => undefined).destroy();
      }
    },
    namedBuildlet,
    async remoteBuildlets(waits) {
      const question: Question = { doing: 'list one’s buildlets', method: 'GET', path: '/buildlet/list', deadlineMs: listMs };
      const reply = await exchange.ask(question, maxAnswerBytes, waits);
      if (reply.status !== 200) throw refused(question.doing, reply);
      return understood(remoteBuildletsSchema, reply.text);
    },
    async [Symbol.asyncDispose]() {
      exchange[Symbol.dispose]();
    },
  };
}

/** @throws CroftError `invalid` without a host */
function coordinatorAddress(instance: string, { ca, serverName, auth }: Omit<CoordinatorOptions, 'clock'>): BuildletAddress {
  const [, host, port] = /^(\[[^\]]+\]|[^:]+)(?::(\d{1,5}))?$/.exec(instance === 'prod' ? prodInstance : instance) ?? [];
  if (host === undefined) throw new CroftError('invalid', `build: coordinator instance ${JSON.stringify(instance)} is not a host`);
  const isOwnMachine = host === 'localhost' && ca === undefined;
  const place = { host: host.replaceAll(/[[\]]/g, ''), port: Number(port ?? 443), name: instance };
  return { ...place, ...auth, tls: isOwnMachine ? { unverified: true } : { ca, serverName } };
}

/** Without a limit of time: it ends when a machine is there. */
function createQuestion(builderType: string): Question {
  const body = formBody({ version: createStreamVersion, builderType });
  return { doing: `create a ${builderType}`, method: 'POST', path: '/buildlet/create', body };
}

async function refusal(response: IncomingMessage): Promise<CroftError> {
  const text = await readCapped(response as AsyncIterable<Buffer>, maxAnswerBytes, 'create a buildlet');
  return refused('create a buildlet', { status: response.statusCode ?? 0, text });
}

async function onlyAnswer(response: IncomingMessage): Promise<RemoteBuildlet> {
  return understood(remoteBuildletSchema, await readCapped(response as AsyncIterable<Buffer>, maxAnswerBytes, 'create a buildlet'));
}

interface Following extends Pick<Creating, 'onStatus'> {
  readonly clock: Clock;
  readonly silent: AbortController;
}

/** Lines that tell nothing known are passed over. */
async function lastLine(response: IncomingMessage, { clock, silent, onStatus }: Following): Promise<RemoteBuildlet> {
  const tooQuiet = (): void => silent.abort(new CroftError('timeout', `the coordinator has said nothing for ${quietMs / SECOND} s`));
  let alarm = setAlarm(clock, quietMs, tooQuiet);
  try {
    for await (const line of linesOf(response as AsyncIterable<Buffer>)) {
      alarm[Symbol.dispose]();
      alarm = setAlarm(clock, quietMs, tooQuiet);
      const { error, buildlet, status } = understood(createLineSchema, line);
      if (error) throw new CroftError('unavailable', error);
      if (buildlet) return buildlet;
      if (status) onStatus?.(status);
    }
  } finally {
    alarm[Symbol.dispose]();
  }
  const text = "buildlet: coordinator's /buildlet/create ended its response stream without a terminal message";
  throw new CroftError('unavailable', text);
}

function understood<T>(
  schema: { safeParse(value: unknown): { success: true; data: T } | { success: false; error: Error } },
  text: string,
): T {
  const parsed = schema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new CroftError('unavailable', 'the answer of the coordinator is not understood', { cause: parsed.error });
}
