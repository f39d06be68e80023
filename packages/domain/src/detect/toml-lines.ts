/** Tables and keys of a TOML file, looked for line by line: what is not TOML has none, and its own tools say so in their step. */

export function withoutTomlComments(text: string): string {
  return text.replaceAll(/^[ \t]*#[^\n]*/gm, '');
}

export function hasTable(text: string, name: string): boolean {
  return tableHead(name).test(text);
}

export function hasKey(text: string, table: string, key: string): boolean {
  const start = tableHead(table).exec(text);
  const body = start === null ? '' : (text.slice(start.index + start[0].length).split(/^[ \t]*\[[^\n]*\][ \t]*$/m)[0] ?? '');
  return new RegExp(`^[ \\t]*["']?${key}["']?[ \\t]*=`, 'm').test(body);
}

/** The table itself, not those below it. */
function tableHead(name: string): RegExp {
  return new RegExp(`^[ \\t]*\\[[ \\t]*${name.replaceAll('.', '[ \\t]*\\.[ \\t]*')}[ \\t]*\\][ \\t]*(?:#[^\\n]*)?\\r?$`, 'm');
}
