/** Files of a session's machine by the v2 protocol: listing, removing, and both ways by way of addresses (gomote-ssh.md 6.3, 6.4). */
import { Code, ConnectError } from '@connectrpc/connect';
import type { IncomingMessage } from 'node:http';
import { passOn, type ForwardedRequest } from '@croft/buildlet/pass-on';
import { epochHeader } from '@croft/protocol/runs';
import { MINUTE, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Entered } from '../sessions/sessions.ts';
import { fetchPublic } from './fetch-public.ts';
import { downloadAddress, objectAt, uploadAddress } from './objects.ts';
import type { Stored, Transfers } from './transfers.ts';
import { as, enter, need, type Call, type CallDeps } from './v2-call.ts';

export interface FilesDeps extends CallDeps {
  readonly transfers: Transfers;
  readonly clock: Clock;
}

type Machine = Entered & { readonly signal: AbortSignal };

const headMs = 30 * MINUTE;
const maxRefusalBytes = 64 * 1024;
/** Of one message of a listing: well below what Go's clients take. */
const messageBytes = 512 * 1024;

interface ListRequest {
  readonly gomoteId: string;
  readonly directory: string;
  readonly recursive: boolean;
  readonly skipFiles: readonly string[];
  readonly digest: boolean;
}

/** Lines as the machine gives them, some at a time. @throws ConnectError */
export async function* listDirectory(call: Call, request: ListRequest, deps: FilesDeps): AsyncGenerator<{ entries: string[] }> {
  const { gomoteId, directory, recursive, skipFiles, digest } = request;
  if (gomoteId === '' || directory === '') throw new ConnectError('invalid arguments', Code.InvalidArgument);
  using machine = await enter(call, gomoteId, deps);
  const skip = skipFiles.length > 0 ? skipFiles : [''];
  const query = [['digest', String(digest)], ['dir', directory], ['recursive', String(recursive)], ...skip.map((one) => ['skip', one])];
  const path = `/ls?${new URLSearchParams(query).toString()}`;
  const answer = await as(Code.Aborted, 'unable to list the directory', () => ask(machine, { method: 'GET', path }, deps));
  let rest = '';
  const decoder = new TextDecoder();
  for await (const piece of answer as AsyncIterable<Buffer>) {
    const text = rest + decoder.decode(piece, { stream: true });
    const end = text.lastIndexOf('\n') + 1;
    rest = text.slice(end);
    if (end > 0) for (const entries of messagesOf(text.slice(0, end - 1).split('\n'))) yield { entries };
  }
  if (rest !== '') throw new ConnectError('the listing was cut', Code.Aborted);
}

function* messagesOf(lines: readonly string[]): Generator<string[]> {
  for (let from = 0; from < lines.length;) {
    let to = from;
    for (let bytes = 0; to < lines.length && bytes < messageBytes; to += 1) bytes += lines[to]?.length ?? 0;
    yield lines.slice(from, to);
    from = to;
  }
}

export async function removeFiles(
  call: Call,
  { gomoteId, paths }: { gomoteId: string; paths: readonly string[] },
  deps: FilesDeps,
): Promise<object> {
  if (gomoteId === '' || paths.length === 0) throw new ConnectError('invalid arguments', Code.InvalidArgument);
  using machine = await enter(call, gomoteId, deps, 'session.write');
  const body = new URLSearchParams(paths.map((path) => ['path', path])).toString();
  await as(Code.Unknown, 'unable to remove files', () => tell(machine, { method: 'POST', path: '/removeall', body: { form: body } }, deps));
  return {};
}

/** XFER-4. The archive is made and stored before its address is told, so that a download does not wait for the machine. */
export async function readTgzToUrl(
  call: Call,
  { gomoteId, directory }: { gomoteId: string; directory: string },
  deps: FilesDeps,
): Promise<object> {
  using machine = await enter(call, gomoteId, deps);
  const path = `/tgz?${new URLSearchParams({ dir: directory || '.' }).toString()}`;
  const invitation = await as(Code.Aborted, 'unable to retrieve tar from gomote instance', async () => {
    const answer = await ask(machine, { method: 'GET', path }, deps);
    return deps.transfers.keep(call.who.name, answer as AsyncIterable<Buffer>);
  });
  return { url: downloadAddress(call.origin, invitation) };
}

export async function uploadFile(call: Call, { transfers }: FilesDeps): Promise<object> {
  return as(Code.ResourceExhausted, 'no file is taken', async () => uploadAddress(call.origin, transfers.invite(call.who.name)));
}

export interface WriteFileRequest {
  readonly gomoteId: string;
  readonly url: string;
  readonly filename: string;
  readonly mode: number;
}

/** XFER-2 and XFER-3, without their weakness: what is not ours is fetched only from addresses that everybody reaches. */
export async function writeFileFromUrl(call: Call, { gomoteId, url, filename, mode }: WriteFileRequest, deps: FilesDeps): Promise<object> {
  using machine = await enter(call, gomoteId, deps, 'session.write');
  const stored = own(call, url, deps);
  const content = stored ?? (await as(Code.Aborted, 'failed to get file from URL', () => fetchPublic(url, machine.signal)));
  const path = `/write?${new URLSearchParams({ mode: String(mode), path: filename }).toString()}`;
  const doing = 'failed to send the file to the gomote instance';
  await as(Code.Aborted, doing, () => tell(machine, { method: 'PUT', path, body: content }, deps));
  return {};
}

interface WriteTgzRequest {
  readonly gomoteId: string;
  readonly url: string;
  readonly directory: string;
}

/** What is not ours the machine fetches, with what it can reach. */
export async function writeTgzFromUrl(call: Call, { gomoteId, url, directory }: WriteTgzRequest, deps: FilesDeps): Promise<object> {
  need(gomoteId, 'invalid gomote ID');
  need(url, 'missing URL');
  using machine = await enter(call, gomoteId, deps, 'session.write');
  const stored = own(call, url, deps);
  const path = `/writetgz?${new URLSearchParams({ dir: directory }).toString()}`;
  const asked: Asked = stored
    ? { method: 'PUT', path, body: stored }
    : { method: 'POST', path, body: { form: new URLSearchParams({ url }).toString() } };
  await as(Code.FailedPrecondition, 'unable to write tar.gz', () => tell(machine, asked, deps));
  return {};
}

/** Undefined for an address that is not ours. @throws ConnectError InvalidArgument, also for an object of somebody else */
function own({ who, origin }: Call, url: string, { transfers }: FilesDeps): Stored | undefined {
  const object = objectAt(origin, url);
  if (object === undefined) return undefined;
  try {
    return transfers.read(who.name, object);
  } catch {
    throw new ConnectError('invalid object URL', Code.InvalidArgument);
  }
}

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: { readonly form: string } | Stored | AsyncIterable<Uint8Array>;
}

/** @throws CroftError with what the machine says, unless it says 200 */
async function ask({ buildlet, epoch, signal }: Machine, { method, path, body }: Asked, { clock }: FilesDeps): Promise<IncomingMessage> {
  const sent = bodyOf(body);
  const request = { method, path, headers: { ...sent.headers, [epochHeader]: String(epoch) }, body: sent.body };
  const answer = await passOn(buildlet.address, request, { clock, signal, headMs });
  if (answer.statusCode === 200) return answer;
  throw new CroftError('unavailable', `the machine says ${answer.statusCode}: ${await startOf(answer)}`);
}

async function tell(machine: Machine, asked: Asked, deps: FilesDeps): Promise<void> {
  (await ask(machine, asked, deps)).resume();
}

function bodyOf(body: Asked['body']): Pick<ForwardedRequest, 'headers' | 'body'> {
  if (body === undefined) return { headers: {} };
  if ('form' in body) return { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: body.form };
  if ('content' in body) return { headers: { 'content-length': String(body.bytes) }, body: body.content() };
  return { headers: {}, body };
}

async function startOf(answer: IncomingMessage): Promise<string> {
  let text = '';
  for await (const piece of answer as AsyncIterable<Buffer>) {
    text += piece.toString('utf8');
    if (text.length > maxRefusalBytes) break;
  }
  return text.trim().slice(0, 1_000);
}
