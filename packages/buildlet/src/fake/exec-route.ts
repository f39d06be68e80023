/** A fake machine's commands: functions under the names of programs. @see buildlet.md 1.10 */
import { dirname } from 'node:path/posix';
import { formOf, isMethod, say, write, type Asked } from './answers.ts';
import { clean, type FakeTree } from './tree.ts';

export interface FakeCall {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Below the work directory. */
  readonly dir: string;
  readonly tree: FakeTree;
  /** Aborted when nobody waits for the command any more. */
  readonly signal: AbortSignal;
  /** Waits while nobody reads. */
  write(text: string | Uint8Array): Promise<void>;
}

/** Its exit status; or the trailer itself, as `signal: killed`. */
export type FakeCommand = (call: FakeCall) => Promise<number | string> | number | string;

export interface FakePrograms {
  readonly workDir: string;
  readonly tree: FakeTree;
  readonly commands: Readonly<Record<string, FakeCommand>>;
}

export async function execRoute(asked: Asked, programs: FakePrograms): Promise<void> {
  const { request, response } = asked;
  if (!isMethod(asked, 'POST')) return;
  const form = await formOf(request);
  const cmd = form.get('cmd') ?? '';
  if (cmd === '') return say(response, 400, "requires 'cmd' parameter\n");
  response.setHeader('Trailer', 'Process-State');
  const gone = new AbortController();
  response.once('close', () => gone.abort(new Error('the connection is gone')));
  response.flushHeaders();
  if (form.get('debug') === 'true') await write(response, `:: Running ${cmd} with args ${quoted([cmd, ...form.getAll('cmdArg')])}\n\n`);
  const state = await stateOf({ form, cmd, signal: gone.signal, write: (text) => write(response, text) }, programs);
  if (gone.signal.aborted) return;
  response.addTrailers({ 'Process-State': state });
  response.end();
}

interface Started extends Pick<FakeCall, 'signal' | 'write'> {
  readonly form: URLSearchParams;
  readonly cmd: string;
}

async function stateOf({ form, cmd, signal, write: give }: Started, { workDir, tree, commands }: FakePrograms): Promise<string> {
  const isSystem = form.get('mode') === 'sys';
  const program = isSystem ? cmd : `${workDir}/${cmd}`;
  const command = commands[below(program, workDir)];
  const given = form.get('dir') || (isSystem ? workDir : dirname(program));
  const dir = below(given, workDir);
  if (dir.startsWith('/') || tree.find(dir)?.kind !== 'directory') return `chdir ${given}: no such file or directory`;
  if (!command) return program.includes('/') ? `fork/exec ${program}: no such file or directory` : notFound(program);
  const env = environmentOf(form, workDir);
  try {
    const state = await command({ args: form.getAll('cmdArg'), env, dir, tree, signal, write: give });
    return typeof state === 'string' ? state : state === 0 ? 'ok' : `exit status ${state}`;
  } catch (error) {
    if (signal.aborted) return 'signal: killed';
    throw error;
  }
}

function environmentOf(form: URLSearchParams, workDir: string): Record<string, string> {
  const pairs = form.getAll('env').map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)] as const);
  const env: Record<string, string> = Object.fromEntries(pairs);
  const names: Record<string, string> = { $PATH: env['PATH'] ?? '', $WORKDIR: workDir, $EMPTY: '' };
  const path = form.getAll('path').map((element) => element.replaceAll(/\$(PATH|WORKDIR|EMPTY)/g, (name) => names[name] ?? ''));
  return path.length === 0 ? env : { ...env, PATH: path.filter((element) => element !== '').join(':') };
}

/** Programs that are files of the tree are named from there. */
function below(path: string, workDir: string): string {
  if (path === workDir) return '';
  if (path.startsWith(`${workDir}/`)) return clean(path.slice(workDir.length + 1));
  return path;
}

function notFound(program: string): string {
  return `exec: "${program}": executable file not found in $PATH`;
}

function quoted(texts: readonly string[]): string {
  return `[${texts.map((text) => JSON.stringify(text)).join(' ')}]`;
}
