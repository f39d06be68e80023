/**
 * A command as Go's v2 client asks for it (gomote-ssh.md 3.2, 6.2), as a run of a buildlet. Where a command asks for what a run cannot be
 * told, a shell puts it in place and then becomes the command; nothing asked for is part of what the shell reads. Pure.
 */
import { posix } from 'node:path';
import type { RunSpec } from '@croft/protocol/runs';
import { DAY } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { SessionGround } from '../sessions/sessions.ts';
import { envList, isWindowsPath, mergeEnv } from './merge-env.ts';

export interface CommandRequest {
  readonly gomoteId: string;
  readonly command: string;
  readonly systemLevel: boolean;
  readonly debug: boolean;
  readonly appendEnvironment: readonly string[];
  readonly path: readonly string[];
  readonly directory: string;
  readonly args: readonly string[];
  readonly imitateHostType: string;
}

const limitMs = DAY;
const outputLimitBytes = 2 ** 40;

/** @throws CroftError `invalid` for what cannot be run like that */
export function commandRun(request: CommandRequest, ground: SessionGround, env: readonly string[] = envList(ground.env)): RunSpec {
  const { command, systemLevel, args, appendEnvironment } = request;
  if (command === '') throw new CroftError('invalid', "requires 'cmd' parameter");
  const isAbsolute = posix.isAbsolute(command);
  const program = command.includes('/') && !isAbsolute ? posix.join(ground.workDir, command) : command;
  const inWorkDir = systemLevel || isAbsolute || !command.includes('/');
  const dir =
    request.directory === '' ? (inWorkDir ? ground.workDir : posix.dirname(program)) : posix.resolve(ground.workDir, request.directory);
  const merged = mergeEnv([env, appendEnvironment], { onWindows: isWindowsPath(ground.workDir) });
  const path = pathOf(request.path, ground);
  const below = posix.relative(ground.workDir, dir) || '.';
  const isInside = below !== '..' && !below.startsWith('../');
  const steps = [...(isInside ? [] : ['cd "$1" || exit 127']), ...(path.around ? ['PATH="$2$PATH$3"; export PATH'] : [])];
  const argv =
    steps.length === 0
      ? [program, ...args]
      : shell([...steps, 'shift 3; exec "$@"'], [dir, ...(path.around ?? ['', '']), program, ...args], ground);
  return {
    argv,
    dir: isInside ? below : '.',
    env: { ...Object.fromEntries(merged.map(pairOf)), ...path.env },
    ...(path.behind.length > 0 && { path: [...path.behind] }),
    limitMs,
    outputLimitBytes,
  };
}

function shell(script: readonly string[], args: readonly string[], { workDir }: SessionGround): string[] {
  if (isWindowsPath(workDir))
    throw new CroftError(
      'invalid',
      'a directory outside of the work directory, or a PATH around the machine’s own, cannot be given on Windows',
    );
  return ['/bin/sh', '-c', script.join('\n'), 'sh', ...args];
}

interface PathWish {
  /** Directories behind the machine's own. */
  readonly behind: readonly string[];
  /** What the machine's own is put between. */
  readonly around?: readonly [string, string];
  /** What takes its place. */
  readonly env?: { readonly PATH: string };
}

/** In each element `$PATH` is the machine's own, `$WORKDIR` the work directory, `$EMPTY` nothing; none at all is the session's. */
function pathOf(elements: readonly string[], { workDir, path }: SessionGround): PathWish {
  if (elements.length === 0) return { behind: path };
  const expanded = elements
    .map((element) => element.replaceAll('$WORKDIR', workDir).replaceAll('$EMPTY', ''))
    .filter((element) => element !== '');
  const at = expanded.findIndex((element) => element.includes('$PATH'));
  if (at < 0) return { behind: [], env: { PATH: expanded.join(':') } };
  const rest = expanded.slice(1);
  if (expanded[0] === '$PATH' && rest.every((element) => /^\/[^:$]*$/.test(element))) return { behind: rest };
  const [before = '', ...after] = expanded.join(':').split('$PATH');
  return { behind: [], around: [before, after.join('')] };
}

function pairOf(entry: string): [string, string] {
  const at = entry.indexOf('=');
  if (at < 1 || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(entry.slice(0, at)))
    throw new CroftError('invalid', `${JSON.stringify(entry.slice(0, 100))} is no variable`);
  return [entry.slice(0, at), entry.slice(at + 1)];
}
