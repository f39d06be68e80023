/**
 * What `croft retrybuilds` asks of a farm, this one's or the originals' (coordinator.md RET-3, RET-4): failures, their logs, and
 * that a result be cleared. No failure repeats an address with a key in it, and a token leaves for the farm's own addresses alone.
 */
import { MINUTE, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import { isLoopbackHost } from '@croft/web/safe-address';
import { clearByGrpc } from './retrybuilds-grpc.ts';
import type { KeyOf } from './retrybuilds-keys.ts';

export interface Failure {
  readonly builder: string;
  readonly hash: string;
  readonly log: string;
}

export interface FarmOfResults {
  /** One commit may be there several times, with different logs. */
  failures(): Promise<Failure[]>;
  log(failure: Failure): Promise<string>;
  /** Tries again while another change is in the way. */
  clear(what: Pick<Failure, 'builder' | 'hash'>): Promise<void>;
}

export interface FarmAddress {
  /** Pages begin with it; no slash at the end. */
  readonly prefix: string;
  readonly token: string | undefined;
  /** Proves the right to clear; without it the token does. */
  readonly keyOf: KeyOf | undefined;
  /** Clears there, in gRPC. */
  readonly grpcHost: string | undefined;
  readonly repo: string | undefined;
  readonly branch: string;
  readonly clock: Clock;
  /** Told why a clearing is tried again. */
  readonly onRetry: (why: string) => void;
}

const maxTries = 10;
/** Of a longer log the middle is left out. */
const [headBytes, tailBytes] = [1_000_000, 7_000_000];
const failuresLimitBytes = 64_000_000;

/** @throws CroftError `invalid` for an address to which no secret is sent */
export function openFarm(address: FarmAddress): FarmOfResults {
  const { prefix, token, branch, repo, clock } = address;
  const base = URL.parse(prefix);
  if (!base || !/^https?:$/.test(base.protocol))
    throw new CroftError('invalid', `"${prefix}" is not the address of a farm`, { hint: 'Write it like https://farm.example.' });
  if ((token !== undefined || address.keyOf) && base.protocol === 'http:' && !isLoopbackHost(base.hostname))
    throw new CroftError('invalid', `no key or token is sent to ${base.origin}, where anybody on the way could read it`, {
      hint: 'Use https.',
    });
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const ask = async (url: URL, doing: string): Promise<Response> => {
    const headers = url.origin === base.origin ? authorization : {};
    const response = await reach(doing, fetch(url, { headers, signal: clock.deadline(MINUTE) }));
    return response.ok ? response : refused(doing, response);
  };
  return {
    async failures() {
      const query = new URLSearchParams({ mode: 'failures', branch, ...(repo === undefined ? {} : { repo }) });
      const doing = `reading the failures of ${base.origin}`;
      const text = await read(await ask(new URL(`${prefix}/?${query}`), doing), doing, { head: failuresLimitBytes, tail: 0 });
      return parseFailures(text);
    },
    async log({ log }) {
      const doing = `fetching ${log}`;
      const url = URL.parse(log);
      if (!url) throw new CroftError('invalid', `${doing}: it is no address`);
      return read(await ask(url, doing), doing, { head: headBytes, tail: tailBytes });
    },
    clear: (what) => clearPatiently(what, address, () => clearOnce(what, address, authorization)),
  };
}

/** Of each line with three fields. */
export function parseFailures(text: string): Failure[] {
  return text.split('\n').flatMap((line) => {
    const [hash, builder, log, ...more] = line.trim().split(/\s+/);
    return hash && builder && log && more.length === 0 ? [{ hash, builder, log }] : [];
  });
}

/** `busy`: the farm was changing the same at that moment. `late`: it did not answer in time. */
export type Cleared = 'done' | 'busy' | 'late';

async function clearPatiently(
  { builder, hash }: Pick<Failure, 'builder' | 'hash'>,
  { clock, onRetry }: FarmAddress,
  clear: () => Promise<Cleared>,
): Promise<void> {
  for (let tries = 0; tries < maxTries; tries += 1) {
    const cleared = await clear();
    if (cleared === 'done') return;
    onRetry(`${cleared === 'busy' ? 'the farm was busy with' : 'there was no answer in time about'} ${builder} ${hash}; trying again`);
    if (cleared === 'busy') await clock.sleep(SECOND);
  }
  throw new CroftError('unavailable', `clearing ${builder} ${hash}: ${maxTries} tries were in vain`, { hint: 'Try again later.' });
}

async function clearOnce(
  { builder, hash }: Pick<Failure, 'builder' | 'hash'>,
  { prefix, keyOf, grpcHost, repo, clock }: FarmAddress,
  authorization: Record<string, string>,
): Promise<Cleared> {
  const doing = `clearing ${builder} ${hash}`;
  const key = keyOf?.(builder);
  const signal = clock.deadline(MINUTE);
  if (grpcHost !== undefined) return clearByGrpc({ host: grpcHost, builder, hash, key: key ?? '', doing }, { signal });
  const query = new URLSearchParams({ builder, hash, ...(repo === undefined ? {} : { packagePath: repo }) });
  if (key !== undefined) query.set('key', key);
  const headers = key === undefined ? authorization : { 'content-type': 'application/x-www-form-urlencoded' };
  try {
    const asked = fetch(`${prefix}/clear-results?${query}`, { method: 'POST', redirect: 'error', headers, signal });
    const response = await reach(doing, asked);
    return understand(await read(response, doing, { head: headBytes, tail: 0 }), response, doing);
  } catch (error) {
    if (signal.aborted) return 'late';
    throw error;
  }
}

function understand(text: string, response: Response, doing: string): Cleared {
  const said = parse(text);
  const error = typeof said['Error'] === 'string' ? said['Error'] : undefined;
  if (error === 'datastore: concurrent transaction') return 'busy';
  if (response.ok && error === '') return 'done';
  const why = error ?? said['message'] ?? `status ${response.status}`;
  throw new CroftError(codeOf(response.status), `${doing}: ${String(why).slice(0, 500)}`, {
    hint: typeof said['hint'] === 'string' ? said['hint'] : 'Is this the address of a farm, and may you clear its results?',
  });
}

function parse(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return {};
  }
}

async function refused(doing: string, response: Response): Promise<never> {
  const text = await read(response, doing, { head: 2_000, tail: 0 });
  throw new CroftError(codeOf(response.status), `${doing}: it was refused with ${response.status}: ${text.trim().slice(0, 300)}`);
}

function codeOf(status: number): 'unauthenticated' | 'forbidden' | 'conflict' {
  return status === 401 ? 'unauthenticated' : status === 403 ? 'forbidden' : 'conflict';
}

/** The reason alone: the address may hold a key. */
async function reach(doing: string, asked: Promise<Response>): Promise<Response> {
  try {
    return await asked;
  } catch (error) {
    const reason = error instanceof TypeError && error.cause !== undefined ? errorText(error.cause) : errorText(error);
    throw new CroftError('unavailable', `${doing}: ${reason}`, { hint: 'Is the farm running, and is this its address?' });
  }
}

/** The first `head` bytes and about the last `tail` of the rest. */
async function read(response: Response, doing: string, { head, tail }: { head: number; tail: number }): Promise<string> {
  const first: Uint8Array[] = [];
  const last: Uint8Array[] = [];
  let [room, kept] = [head, 0];
  try {
    for await (const chunk of response.body ?? []) {
      const begin = chunk.subarray(0, room);
      const rest = chunk.subarray(begin.length);
      first.push(begin);
      last.push(rest);
      room -= begin.length;
      kept += rest.length;
      while (kept - (last[0]?.length ?? 0) >= tail && last.length > 0) kept -= last.shift()?.length ?? 0;
    }
  } catch (error) {
    throw new CroftError('unavailable', `${doing}: ${errorText(error)}`);
  }
  return Buffer.concat([...first, ...last]).toString();
}
