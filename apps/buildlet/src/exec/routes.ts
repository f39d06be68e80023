/** `POST /exec`. buildlet.md 1.10; how ours differs is told in docs/protocols/buildlet.md#commands. */
import { existsSync, mkdirSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { CroftError, errorText } from '@croft/runtime/errors';
import { bytesOfText } from '../commands/byte-text.ts';
import type { Command } from '../commands/command.ts';
import { textError, written, type Answer } from '../http/answer.ts';
import { readBytes, requestEpoch } from '../http/body.ts';
import type { Call, Route } from '../http/router.ts';
import type { Fence } from '../state/fence.ts';
import { cacheDirs, execEnvironment } from './environment.ts';
import type { Execs } from './execs.ts';
import { parseForm, type Form } from './form.ts';
import { quotedList } from './quote.ts';
import { resolveCommand, resolveDirectory, type Refused } from './resolve.ts';

const maxFormBytes = 10 * 1024 * 1024;
const trailerName = 'Process-State';

export interface ExecRouteDeps {
  readonly workDir: string;
  readonly execs: Execs;
  readonly fence: Fence;
  /** The buildlet's own. */
  readonly environment: NodeJS.ProcessEnv;
  /** What commands have of it. */
  readonly passed: Readonly<Record<string, string>>;
}

/** What does not change from one request to the next. */
interface Ground {
  readonly workDir: string;
  readonly passed: Readonly<Record<string, string>>;
  /** By the variable that tells of it. */
  readonly cacheDirs: Readonly<Record<string, string>>;
  bootstrap(): string;
}

interface Planned {
  readonly command: Command;
  readonly debug: boolean;
}

export function execRoutes(deps: ExecRouteDeps): Record<string, Route> {
  const { workDir, passed } = deps;
  const ground: Ground = {
    workDir,
    passed,
    cacheDirs: cacheDirs(workDir),
    bootstrap: chooseBootstrap(deps),
  };
  return { '/exec': { style: 'text', handle: (call) => exec(call, deps, ground) } };
}

async function exec({ request, method, search, signal: gone }: Call, deps: ExecRouteDeps, ground: Ground): Promise<Answer> {
  if (method !== 'POST') return textError(400, 'requires POST method');
  if (request.httpVersionMajor < 1 || request.httpVersion === '1.0') return textError(400, 'HTTP/1.1 or higher required');
  makeDirs(ground.cacheDirs);
  const form = parseForm(isForm(request) ? await readBytes(request, maxFormBytes) : Buffer.alloc(0), search);
  const planned = plan(form, ground);
  if ('status' in planned) return refused(planned);
  const admission = await deps.fence.enter(requestEpoch(request));
  return {
    kind: 'own',
    async send(response) {
      using _ = admission;
      const reader = { socket: request.socket, signals: [gone, admission.signal] };
      await answer(planned, response, { execs: deps.execs, reader });
    },
  };
}

interface Answering {
  readonly execs: Execs;
  readonly reader: Reader;
}

/** Without a trailer the reader knows of no end. What can be done while the command runs is not done before it starts. */
async function answer({ command, debug }: Planned, response: ServerResponse, { execs, reader }: Answering): Promise<void> {
  const left = new AbortController();
  const { signal } = left;
  const running = execs.run({ command, write: (piece) => written(response, piece, signal), signal });
  using _watch = abortWhenGone(left, reader);
  response.writeHead(200, { Trailer: trailerName });
  if (debug) response.write(debugLine(command)); // before any output, which comes in a later turn
  else response.flushHeaders(); // its reader has much to do with it, and does it meanwhile
  const state = await running;
  response.addTrailers({ [trailerName]: headerText(state) });
  response.end();
}

function plan(form: Form, { workDir, passed, cacheDirs: dirs, bootstrap }: Ground): Planned | Refused {
  const places = { workDir, path: passed['PATH'] ?? '', system: form.value('mode') === 'sys' };
  const program = resolveCommand(form.value('cmd'), places);
  if (typeof program !== 'string') return program;
  const cwd = resolveDirectory(form.value('dir'), program, places);
  if (typeof cwd !== 'string') return cwd;
  const asked = { env: form.all('env'), path: form.all('path') };
  try {
    const env = execEnvironment(passed, asked, { workDir, cwd, cacheDirs: dirs, bootstrap: bootstrap() });
    return { command: { argv: [program, ...form.all('cmdArg')], cwd, env, exact: true }, debug: form.flag('debug') };
  } catch (error) {
    if (error instanceof CroftError) return { status: 400, text: errorText(error) };
    throw error;
  }
}

/** With the trailer announced, as Go's does from here on. */
function refused({ status, text }: Refused): Answer {
  return {
    kind: 'own',
    async send(response) {
      const headers = { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff', Trailer: trailerName };
      response.writeHead(status, headers);
      response.end(bytesOfText(`${text}\n`));
    },
  };
}

function debugLine({ argv, env, cwd }: Command): Buffer {
  const variables = quotedList(Object.entries(env).map(([name, value]) => `${name}=${value}`));
  return bytesOfText(`:: Running ${argv[0]} with args ${quotedList(argv)} and env ${variables} in dir ${cwd}\n\n`);
}

interface Reader {
  readonly socket: Pick<Socket, 'once' | 'removeListener' | 'readableEnded'>;
  /** Each of them, when nobody may read any more. */
  readonly signals: readonly AbortSignal[];
}

/** Also when the reader has closed but its half: Go's programs never do that and read on. */
function abortWhenGone(left: AbortController, { socket, signals }: Reader): Disposable {
  const onEnd = (): void => left.abort(new CroftError('cancelled', 'the reader of a command has gone away'));
  const onAbort = ({ target }: Event): void => left.abort((target as AbortSignal).reason);
  socket.once('end', onEnd);
  if (socket.readableEnded) onEnd();
  for (const signal of signals) {
    if (signal.aborted) left.abort(signal.reason);
    signal.addEventListener('abort', onAbort);
  }
  return {
    [Symbol.dispose]() {
      socket.removeListener('end', onEnd);
      for (const signal of signals) signal.removeEventListener('abort', onAbort);
    },
  };
}

function isForm({ headers }: IncomingMessage): boolean {
  return headers['content-type']?.split(';')[0]?.trim().toLowerCase() === 'application/x-www-form-urlencoded';
}

function makeDirs(dirs: Readonly<Record<string, string>>): void {
  for (const dir of Object.values(dirs)) if (!existsSync(dir)) mkdirSync(dir, { recursive: true });
}

/** Chosen at the first command and kept: what the buildlet was started with counts while there is no tree for it in the work directory. */
function chooseBootstrap({ workDir, environment }: ExecRouteDeps): () => string {
  let chosen: string | undefined;
  return () => {
    const own = join(workDir, 'go1.4');
    const given = environment['GOROOT_BOOTSTRAP'];
    chosen ??= given && !existsSync(own) ? given : own;
    return chosen;
  };
}

/** Bytes, and nothing that would end the line. */
function headerText(state: string): string {
  return bytesOfText(state)
    .toString('latin1')
    .replace(/[\0-\x08\x0a-\x1f\x7f]/g, ' ');
}
