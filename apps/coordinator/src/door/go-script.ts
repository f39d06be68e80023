/**
 * The command line with which something begins on a machine whose SSH server lets no variables through: any login shell may parse it, and
 * what the variables hold arrives byte by byte (gomote-ssh.md ENV-4, ENV-5). Nothing is typed.
 */
import type { SessionGround } from '../sessions/sessions.ts';

export interface Beginning {
  /** Undefined: an interactive login shell. */
  readonly commandLine: string | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly ground: Pick<SessionGround, 'workDir' | 'dir' | 'path' | 'env'>;
}

/**
 * In quotes that sh, csh, fish and their kin understand alike, there is nothing but letters, digits and octal numbers: `sh` makes the script
 * of those.
 */
export function goScript(beginning: Beginning): string {
  const octal = [...Buffer.from(scriptOf(beginning), 'utf8')].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  return `/bin/sh -c 'eval "$(printf "${octal}")"'`;
}

function scriptOf({ commandLine, env, ground }: Beginning): string {
  const variables = Object.entries({ ...ground.env, ...env }).map(([name, value]) => `export ${name}=${quoted(value)}`);
  const path = ground.path.length === 0 ? [] : [`export PATH="$PATH":${quoted(ground.path.join(':'))}`];
  const { workDir, dir } = ground;
  const top = quoted(workDir); // their buildlet removes it when it clears its machine
  const start = [`cd ${quoted(`${workDir}/${dir}`)} 2>/dev/null || cd ${top} 2>/dev/null || { mkdir -p ${top} && cd ${top}; }`];
  const shell = '"${SHELL:-/bin/sh}"';
  const command = commandLine === undefined ? `exec ${shell} -l` : `exec ${shell} -c ${quoted(commandLine)}`;
  return [...variables, ...path, ...start, command].join('\n');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
