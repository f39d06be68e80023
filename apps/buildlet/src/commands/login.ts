/**
 * The account's shell for people, as an interactive one and not as a login shell: those run `/etc/profile`, which on Debian sets PATH anew (on a
 * Mac `path_helper` does), and what a shell starts with has to be what a command starts with. @see docs/protocols/runs.md#shells
 */
import { accessSync, constants } from 'node:fs';
import { userInfo } from 'node:os';

export interface Account {
  readonly name: string;
  readonly home: string;
  readonly shell: string;
}

const usualShell = '/bin/sh';
/** Shells of accounts that nobody is to log in to: who gets one here was let in by the farm. */
const noShell = /\/(?:nologin|false|true|sync)$/;

/** Of the buildlet's user, from the account database (getpwuid). Undefined where that has no such user. */
export function ownAccount(): Account | undefined {
  try {
    const { username, homedir, shell } = userInfo();
    return { name: username, home: homedir, shell: isShell(shell) ? shell : usualShell };
  } catch {
    return undefined; // a container's user without a name
  }
}

/** Interactive where it has a terminal, else reading commands; or with a line to carry out. */
export function shellCommand(shell: string | undefined, argv: readonly string[]): [string, ...string[]] {
  return [shell ?? usualShell, ...argv.flatMap((line) => ['-c', line])];
}

/** Nothing on Windows, whose accounts are told by other variables. */
export function accountEnvironment(account: Account | undefined): Readonly<Record<string, string>> {
  if (process.platform === 'win32') return {};
  if (!account) return { SHELL: usualShell };
  const { name, home, shell } = account;
  return { SHELL: shell, HOME: home, USER: name, LOGNAME: name };
}

function isShell(path: string | null): path is string {
  if (!path?.startsWith('/') || noShell.test(path)) return false;
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
