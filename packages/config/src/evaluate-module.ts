/**
 * Evaluates `croft.config.ts`, `.js` or `.mjs` in a child process: 5 s, 256 MB, an empty environment, read access to its own
 * directory alone, no network, no further processes. Only plain data comes back.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { anySignal, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Evaluated } from './evaluate-worker.ts';

export type ModuleValue = { readonly files: readonly string[] } & (
  | { readonly value: unknown }
  | { readonly issues: readonly { readonly path: readonly (string | number)[]; readonly message: string }[] }
  /** Where it went wrong, if that is known; `file` is undefined for the module itself. */
  | { readonly failure: { readonly file?: string | undefined; readonly line: number | undefined; readonly message: string } }
);

const limitMs = 5 * SECOND;
const memoryMB = 256;
const mostOutput = 4_096;
const worker = fileURLToPath(new URL('evaluate-worker.ts', import.meta.url));

export async function evaluateModule(path: string, { clock, signal }: Waits & { readonly clock: Clock }): Promise<ModuleValue> {
  const real = await realpath(path);
  const readable = new Set([dirname(path), dirname(real), dirname(worker)]);
  const flags = [
    '--permission',
    ...[...readable].map((dir) => `--allow-fs-read=${join(dir, '/')}`),
    `--max-old-space-size=${memoryMB}`,
    '--no-warnings',
  ];
  const child = spawn(process.execPath, [...flags, worker, pathToFileURL(real).href], {
    env: {},
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const deadline = clock.deadline(limitMs);
  try {
    return toValue(await answerOf(child, anySignal(signal, deadline)), real);
  } catch (error) {
    signal?.throwIfAborted();
    if (deadline.aborted) return failed(real, `took longer than ${limitMs / SECOND} s to evaluate`);
    throw new CroftError('unavailable', `evaluating the configuration ${path}`, { cause: error });
  } finally {
    child.kill('SIGKILL');
  }
}

function toValue(evaluated: Evaluated | string, path: string): ModuleValue {
  if (typeof evaluated === 'string') return failed(path, `could not be evaluated: ${evaluated}`);
  const { files } = evaluated;
  if ('json' in evaluated) return { files, value: JSON.parse(evaluated.json) as unknown };
  if ('issues' in evaluated) return { files, issues: evaluated.issues };
  const { message, stack } = evaluated.thrown;
  const [at] = stack.split('\n').flatMap((told) => placeIn(told, files));
  const file = at === undefined || at.file === path ? undefined : at.file;
  return { files, failure: { file, line: at?.line, message: `could not be evaluated: ${message}` } };
}

/** Which of the files a line of a stack names, and where. */
function placeIn(told: string, files: readonly string[]): { file: string; line: number }[] {
  return files.flatMap((file) => {
    const [, line] = /^:(\d+)/.exec(told.split(file)[1] ?? '') ?? [];
    return line === undefined ? [] : [{ file, line: Number(line) }];
  });
}

function failed(path: string, message: string): ModuleValue {
  return { files: [path], failure: { line: undefined, message } };
}

/** What it sends, or what it said when it ended without sending anything. */
async function answerOf(child: ChildProcess, signal: AbortSignal): Promise<Evaluated | string> {
  const said: string[] = [];
  let room = mostOutput;
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said.push(text.slice(0, room));
      room = Math.max(0, room - text.length);
    });
  }
  const answer = Promise.withResolvers<Evaluated | string>();
  const onAbort = (): void => answer.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  child.once('message', (message) => answer.resolve(message as Evaluated));
  child.once('error', answer.reject);
  child.once('close', (code, killedBy) => answer.resolve(endText(code, killedBy, said.join(''))));
  try {
    return await answer.promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function endText(code: number | null, killedBy: string | null, said: string): string {
  if (/heap out of memory/.test(said)) return `it needed more than ${memoryMB} MB`;
  const last = said.trim().split('\n').at(-1) ?? '';
  return last === '' ? `it ended with ${killedBy ?? `status ${code}`}` : last;
}
