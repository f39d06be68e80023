/**
 * Patterns over names, branches and paths: `*` is any text without a slash, `**` as a whole segment any number of segments, `?` one
 * character. In a list, `!` before a pattern excludes. Never slower than the product of both lengths, whatever they hold.
 */
export function matchesPattern(pattern: string, text: string): boolean {
  return matchSequence(pattern.split('/'), text.split('/'), { isStar: (segment) => segment === '**', same: matchSegment });
}

/** True when a pattern matches and no excluding one does. A list that excludes only, or is empty, begins with everything. */
export function selects(patterns: readonly string[], text: string): boolean {
  let included = patterns.every((pattern) => pattern.startsWith('!'));
  for (const pattern of patterns) {
    if (!pattern.startsWith('!')) included ||= matchesPattern(pattern, text);
    else if (matchesPattern(pattern.slice(1), text)) return false;
  }
  return included;
}

/** The patterns under which a directory that one of them matches is taken, or left out, with everything below it. */
export function withContents(patterns: readonly string[]): string[] {
  return patterns.map((pattern) => {
    const not = pattern.startsWith('!') ? '!' : '';
    const path = pattern.slice(not.length).replaceAll(/^(?:\.\/+)+|\/+$/g, '');
    return path === '' || path === '.' ? `${not}**` : `${not}${path}/**`;
  });
}

/** Whether something below the directory may be selected; a walk that asks need not enter the others. */
export function mayHold(patterns: readonly string[], directory: string): boolean {
  const included = patterns.filter((pattern) => !pattern.startsWith('!'));
  const excluded = patterns.filter((pattern) => pattern.startsWith('!') && pattern.endsWith('/**')).map((pattern) => pattern.slice(1));
  if (excluded.some((pattern) => matchesPattern(pattern, directory))) return false;
  return included.length === 0 || included.some((pattern) => leadsThrough(pattern.split('/'), directory.split('/')));
}

function leadsThrough(pattern: readonly string[], directory: readonly string[]): boolean {
  for (const [depth, name] of directory.entries()) {
    const part = pattern[depth];
    if (part === '**') return true;
    if (part === undefined || !matchSegment(part, name)) return false;
  }
  return pattern.length > directory.length;
}

/** True when it stands for itself alone. */
export function isLiteral(pattern: string): boolean {
  return !/[*?]|^!/.test(pattern);
}

/** The patterns that match none of the names. */
export function idlePatterns(patterns: readonly string[], names: readonly string[]): string[] {
  return patterns.filter((pattern) => !names.some((name) => matchesPattern(pattern.replace(/^!/, ''), name)));
}

function matchSegment(pattern: string, text: string): boolean {
  return matchSequence(Array.from(pattern), Array.from(text), {
    isStar: (character) => character === '*',
    same: (character, other) => character === '?' || character === other,
  });
}

interface Matching {
  isStar(part: string): boolean;
  same(part: string, of: string): boolean;
}

/** Each star takes as little as it can; when the rest does not fit, only the last star has to take one more. */
function matchSequence(pattern: readonly string[], text: readonly string[], { isStar, same }: Matching): boolean {
  let at = 0;
  let star = -1;
  let taken = 0;
  for (let read = 0; read < text.length;) {
    const part = pattern[at];
    if (part !== undefined && isStar(part)) {
      star = at;
      taken = read;
      at += 1;
    } else if (part !== undefined && same(part, text[read] ?? '')) {
      at += 1;
      read += 1;
    } else if (star >= 0) {
      at = star + 1;
      taken += 1;
      read = taken;
    } else return false;
  }
  return pattern.slice(at).every(isStar);
}
