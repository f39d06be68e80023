/** Where the names and link targets of an archive lead. Pure; paths are byte strings relative to the root, `''` is the root. */

/** The name without empty and `.` parts and with `..` applied; undefined when it is empty, absolute or leaves the root. */
export function cleanName(name: string): string | undefined {
  if (name === '' || name.startsWith('/') || name.includes('\0') || foreign(name)) return undefined;
  if (!/(?:^|\/)(?:\.{0,2})(?:\/|$)/.test(name)) return name;
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '..' && parts.pop() === undefined) return undefined;
    if (part !== '..' && part !== '.' && part !== '') parts.push(part);
  }
  return parts.join('/');
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

export type Lead = 'inside' | 'outside' | 'unsettled';

/**
 * Where a symbolic link at `path` (below real directories) leads. Text alone settles it unless the target goes up after going
 * down: what it goes up from may be a link itself. Then `isDirectory` decides, which must know links from directories.
 */
export function leadOf(path: string, target: string, isDirectory?: (path: string) => boolean): Lead {
  if (target === '' || target.startsWith('/') || target.includes('\0') || foreign(target)) return 'outside';
  const at = parentOf(path) === '' ? [] : parentOf(path).split('/');
  let down = false;
  let unsettled = false;
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') {
      at.push(part);
      down = true;
      continue;
    }
    if (at.length === 0) return 'outside';
    if (down && isDirectory && !isDirectory(at.join('/'))) return 'outside';
    unsettled ||= down && !isDirectory;
    at.pop();
  }
  return unsettled ? 'unsettled' : 'inside';
}

/** Windows takes backslashes and drive letters as ways out. */
function foreign(name: string): boolean {
  return process.platform === 'win32' && /[\\:]/.test(name);
}
