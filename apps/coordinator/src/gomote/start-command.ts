/** What a command starts with that somebody of a session asks for: the session's ground beneath, what was asked for above. Pure. */
import { CroftError } from '@croft/runtime/errors';
import type { Entered, SessionGround } from '../sessions/sessions.ts';
import { envList, isWindowsPath } from './merge-env.ts';

/** The name under which a run of a session is known to its machine. @throws CroftError `forbidden` for one of another session or of a build */
export function runOf(session: string, name: string): string {
  if (name.startsWith(`${session}.`)) return name;
  if (/^[SB][0-9a-f]{16}\./.test(name)) throw new CroftError('forbidden', `run ${name} is not one of session ${session}`);
  return `${session}.${name}`;
}

/**
 * The body of `PUT /runs/ID` with what it leaves out: where it runs, the variables (of the builder that `builderEnv` names, where it does), the
 * directories of programs. What else it says is for the machine to judge. @throws CroftError `invalid`, `not-found` for such a builder
 */
export function runOn({ ground: own, groundAs }: Pick<Entered, 'ground' | 'groundAs'>, body: string): string {
  const { builderEnv, ...asked } = objectIn(body);
  const ground = builderEnv === undefined ? own : groundAs?.(String(builderEnv));
  if (!ground) throw new CroftError('not-found', `there is no builder ${JSON.stringify(builderEnv).slice(0, 200)}`);
  const { env = {} } = asked;
  if (!isObject(env)) throw new CroftError('invalid', 'env of the run is not an object');
  const where = asked['dir'] === undefined ? { dir: ground.dir, elseDir: '.' } : {};
  const path = ground.path.length > 0 ? { path: ground.path } : {};
  return JSON.stringify({ ...path, ...where, ...asked, env: { ...without(ground, Object.keys(env)), ...env } });
}

/** The session's variables but those of these names; Windows takes names that differ by case for the same one. */
function without({ env, workDir }: SessionGround, names: readonly string[]): Record<string, string> {
  const key = isWindowsPath(workDir) ? (name: string) => name.toLowerCase() : (name: string) => name;
  const taken = new Set(names.map(key));
  return Object.fromEntries(Object.entries(env).filter(([name]) => !taken.has(key(name))));
}

/** The form of `/exec` with the session's variables before those it has: the machine takes the last of each name. */
export function execOn({ env, path }: SessionGround, form: Buffer): Buffer {
  const pairs = envList(env).map((entry) => ['env', entry]);
  const hasPath = /(?:^|&)path=/.test(form.toString('latin1'));
  if (!hasPath && path.length > 0) pairs.push(...['$PATH', ...path].map((dir) => ['path', dir]));
  const ours = new URLSearchParams(pairs).toString();
  return ours === '' ? form : Buffer.concat([Buffer.from(`${ours}&`), form]);
}

function objectIn(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    if (isObject(value)) return value;
  } catch (error) {
    throw new CroftError('invalid', 'the run is not JSON', { cause: error });
  }
  throw new CroftError('invalid', 'the run is not a JSON object');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
