/** What a client says to a buildlet, kept with the answers: between the two while it is recorded, and in the place of either afterwards. */
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { systemClock } from '@croft/runtime/clock';

export interface Said {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Heard {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  /** What comes behind the body: how a command of `/exec` ended. */
  readonly trailers?: Readonly<Record<string, string>>;
}

/** Bodies that are no text stand in base64 after `base64:`. */
export interface Exchange extends Said {
  readonly answer: Heard;
}

/** Headers that mean something; the others belong to the connection or are secret. */
const kept = ['content-type', 'croft-epoch', 'croft-source'];

export interface SocketServer extends AsyncDisposable {
  readonly socketPath: string;
}

/** Passes everything on to `target` and adds it to `exchanges`, in the order in which it was asked. */
export function openRecorder(socketPath: string, target: string, exchanges: Exchange[]): Promise<SocketServer> {
  return serveAt(socketPath, (incoming, outgoing) => {
    const slot = exchanges.push({ method: '', path: '', headers: {}, body: '', answer: { status: 0, type: '', body: '' } }) - 1;
    void (async () => {
      const said = { method: incoming.method ?? '', path: incoming.url ?? '', headers: meaningful(incoming) };
      const content = await buffer(incoming);
      const asked = httpRequest({ socketPath: target, method: said.method, path: said.path, headers: passedOn(incoming) });
      asked.end(content);
      const [answer] = (await once(asked, 'response')) as [IncomingMessage];
      const heard = await hear(answer);
      exchanges[slot] = { ...said, body: toText(content), answer: heard };
      repeat(heard, outgoing);
    })().catch((error: unknown) => outgoing.destroy(error as Error));
  });
}

/** Answers as it was answered then: what was asked in these words, else what differs only in the query; else 404, as to something unknown. */
export function openReplay(socketPath: string, exchanges: readonly Exchange[]): Promise<SocketServer> {
  const left = [...exchanges];
  return serveAt(socketPath, (incoming, outgoing) => {
    void (async () => {
      await buffer(incoming);
      const { method, url = '' } = incoming;
      const matches = [(path: string): boolean => path === url, (path: string): boolean => path.split('?')[0] === url.split('?')[0]];
      const index = matches.map((isIt) => left.findIndex((one) => one.method === method && isIt(one.path))).find((found) => found >= 0);
      const [found] = index === undefined ? [] : left.splice(index, 1);
      repeat(found?.answer ?? { status: 404, type: 'text/plain', body: '404 page not found\n' }, outgoing);
    })().catch((error: unknown) => outgoing.destroy(error as Error));
  });
}

export async function say({ method, path, headers, body }: Said, address: { socketPath: string; password: string }): Promise<Heard> {
  const auth = { authorization: `Basic ${Buffer.from(`:${address.password}`).toString('base64')}` };
  const { socketPath } = address;
  const signal = systemClock.deadline(60_000);
  const request = httpRequest({ socketPath, method, path, headers: { ...headers, ...auth }, agent: false, signal });
  request.end(fromText(body));
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  return hear(answer);
}

async function hear(answer: IncomingMessage): Promise<Heard> {
  const body = toText(await buffer(answer));
  const trailers = Object.entries(answer.trailers).map(([name, value]) => [name, value ?? ''] as const);
  const heard = { status: answer.statusCode ?? 0, type: answer.headers['content-type'] ?? '', body };
  return trailers.length === 0 ? heard : { ...heard, trailers: Object.fromEntries(trailers) };
}

function repeat({ status, type, body, trailers = {} }: Heard, outgoing: ServerResponse): void {
  const names = Object.keys(trailers).join(', ');
  outgoing.writeHead(status, { ...(type === '' ? {} : { 'content-type': type }), ...(names === '' ? {} : { trailer: names }) });
  outgoing.addTrailers(trailers);
  outgoing.end(fromText(body));
}

export function fromText(text: string): Buffer {
  return text.startsWith('base64:') ? Buffer.from(text.slice('base64:'.length), 'base64') : Buffer.from(text);
}

function toText(bytes: Buffer): string {
  const text = bytes.toString();
  return Buffer.from(text).equals(bytes) && !/[^\t\n\r -~\u00a0-\uffff]/.test(text) ? text : `base64:${bytes.toString('base64')}`;
}

function meaningful({ headers }: IncomingMessage): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter((entry): entry is [string, string] => kept.includes(entry[0])));
}

function passedOn({ headers }: IncomingMessage): Record<string, string> {
  const some = ['authorization', ...kept];
  return Object.fromEntries(Object.entries(headers).filter((entry): entry is [string, string] => some.includes(entry[0])));
}

async function serveAt(socketPath: string, onRequest: RequestListener): Promise<SocketServer> {
  const server = createServer({ keepAliveTimeout: 0 }, onRequest);
  server.listen(socketPath);
  await once(server, 'listening');
  return {
    socketPath,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
