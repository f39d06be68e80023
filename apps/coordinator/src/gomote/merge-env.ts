/** The variables of a command: those of the session, then those that were asked for (gomote-ssh.md RUN-1). Pure. */

/**
 * `NAME=VALUE` each. Of several for one name the last one counts and keeps its place; names differ by case, but on Windows.
 * What has no name, as Windows' `=C:=C:\dir`, is left alone.
 */
export function mergeEnv(lists: readonly (readonly string[])[], { onWindows = false } = {}): string[] {
  const seen = new Set<string>();
  const isLast = (entry: string): boolean => {
    const name = entry.slice(0, entry.indexOf('=', 1));
    if (!entry.includes('=', 1)) return true;
    const key = onWindows ? name.toLowerCase() : name;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  };
  return lists.flat().toReversed().filter(isLast).toReversed();
}

export function envList(env: Readonly<Record<string, string>>): string[] {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`);
}

/** Whether a machine with this work directory is one of Windows. */
export function isWindowsPath(workDir: string): boolean {
  return /^(?:[A-Za-z]:|\\\\)/.test(workDir);
}
