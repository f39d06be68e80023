/**
 * One line of a log as a terminal would leave it: colours and weights (SGR), carriage return, backspace, erase in line and
 * cursor column, as progress bars use them. Every other escape is dropped. Pure, total and linear in the line's length: logs are
 * hostile. Nothing is ever hidden: an unfinished escape loses its introducer only, and "conceal" is ignored.
 */
export type Colour = number | string;

/** `fg`, `bg`: 0 to 255 of the palette, or `#rrggbb`. */
export interface Style {
  readonly fg?: Colour;
  readonly bg?: Colour;
  readonly bold?: true;
  readonly dim?: true;
  readonly italic?: true;
  readonly underline?: true;
  readonly strike?: true;
  readonly inverse?: true;
}

export interface Run {
  readonly text: string;
  readonly style: Style;
}

export interface RenderedLine {
  readonly runs: readonly Run[];
  /** Goes on into the next line. */
  readonly style: Style;
}

export const plainStyle: Style = {};

interface Line {
  cells: string[];
  styles: Style[];
  cursor: number;
  style: Style;
}

const interesting = /[\0-\x08\x0b-\x1f\x7f-\x9f]/;
/** CSI; then OSC, DCS, SOS, PM and APC up to their end; then two- and three-byte escapes. */
const escape = /\x1b(?:\[([0-9:;<=>?]*)[ -/]*([@-~])|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|[ -/]{1,2}[0-~]|[0-OQ-WYZ\\`-~])/y;

/** @param text without its line break */
export function renderLine(text: string, style: Style = plainStyle): RenderedLine {
  if (!interesting.test(text)) return { runs: text === '' ? [] : [{ text, style }], style };
  const line: Line = { cells: [], styles: [], cursor: 0, style };
  for (let at = 0; at < text.length;) at = step(line, text, at);
  return { runs: merge(line), style: line.style };
}

/** The text alone. */
export function stripAnsi(text: string): string {
  return renderLine(text)
    .runs.map((run) => run.text)
    .join('');
}

function step(line: Line, text: string, at: number): number {
  const code = text.charCodeAt(at);
  if (code === 0x1b) return takeEscape(line, text, at);
  if (code === 0x0d) line.cursor = 0;
  else if (code === 0x08) line.cursor = Math.max(0, line.cursor - 1);
  else if (code === 0x09 || (code >= 0x20 && code < 0x7f) || code > 0x9f) return put(line, text, at);
  return at + 1;
}

function put(line: Line, text: string, at: number): number {
  const point = text.codePointAt(at) ?? 0;
  const length = point > 0xffff ? 2 : 1;
  line.cells[line.cursor] = text.slice(at, at + length);
  line.styles[line.cursor] = line.style;
  line.cursor += 1;
  return at + length;
}

function takeEscape(line: Line, text: string, at: number): number {
  escape.lastIndex = at;
  const found = escape.exec(text);
  if (!found) return at + 1;
  const [all, parameters = '', final] = found;
  if (final === 'm' && !/[<=>?]/.test(parameters)) line.style = applySgr(line.style, parameters);
  else if (final === 'K') erase(line, parameters);
  else if (final === 'G') line.cursor = Math.min(line.cells.length, Math.max(0, (Number.parseInt(parameters, 10) || 1) - 1));
  return at + all.length;
}

/** `K`: 0 from the cursor to the end, 1 from the start to the cursor, 2 all. */
function erase(line: Line, parameters: string): void {
  if (parameters === '1' || parameters === '2') {
    const end = Math.min(line.cells.length, line.cursor + 1);
    line.cells.fill(' ', 0, end);
    line.styles.fill(plainStyle, 0, end);
  }
  if (parameters !== '1') {
    line.cells.length = Math.min(line.cells.length, line.cursor);
    line.styles.length = line.cells.length;
  }
}

function merge({ cells, styles }: Line): Run[] {
  const runs: { text: string; style: Style }[] = [];
  for (const [index, cell] of cells.entries()) {
    const style = styles[index] ?? plainStyle;
    const last = runs.at(-1);
    if (last && last.style === style) last.text += cell;
    else runs.push({ text: cell, style });
  }
  return runs;
}

type Writable = { -readonly [Key in keyof Style]: Style[Key] };

function applySgr(style: Style, parameters: string): Style {
  const codes = parameters.split(';').flatMap((part) => readCodes(part));
  let next: Writable = { ...style };
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index] ?? 0;
    if (code === 0) next = {};
    else if (code === 38 || code === 48) {
      const { colour, used } = extended(codes, index + 1);
      if (colour !== undefined) next[code === 38 ? 'fg' : 'bg'] = colour;
      index += used;
    } else applyCode(next, code);
  }
  return same(style, next) ? style : next;
}

/** `38:2::r:g:b` and `4:3` use colons; the empty colour space is left out. */
function readCodes(part: string): number[] {
  const pieces = part.split(':');
  if (pieces.length === 1) return [Number.parseInt(part, 10) || 0];
  if (pieces[0] === '4') return [pieces[1] === '0' ? 24 : 4];
  if (pieces[1] === '2' && pieces.length > 5) pieces.splice(2, 1);
  return pieces.map((piece) => Number.parseInt(piece, 10) || 0);
}

function extended(codes: number[], at: number): { colour?: Colour; used: number } {
  const [kind, ...values] = codes.slice(at, at + 4);
  const valid = (count: number): boolean => values.length >= count && values.slice(0, count).every((value) => value >= 0 && value <= 255);
  if (kind === 5) return valid(1) ? { colour: values[0] as number, used: 2 } : { used: 2 };
  if (kind === 2)
    return valid(3) ? { colour: `#${values.map((value) => value.toString(16).padStart(2, '0')).join('')}`, used: 4 } : { used: 4 };
  return { used: 0 };
}

const switches: Readonly<Record<number, keyof Style>> = {
  1: 'bold',
  2: 'dim',
  3: 'italic',
  4: 'underline',
  7: 'inverse',
  9: 'strike',
  21: 'underline',
};
const resets: Readonly<Record<number, readonly (keyof Style)[]>> = {
  22: ['bold', 'dim'],
  23: ['italic'],
  24: ['underline'],
  27: ['inverse'],
  29: ['strike'],
  39: ['fg'],
  49: ['bg'],
};

function applyCode(style: Writable, code: number): void {
  const on = switches[code];
  if (on && on !== 'fg' && on !== 'bg') style[on] = true;
  for (const name of resets[code] ?? []) delete style[name];
  if (code >= 30 && code <= 37) style.fg = code - 30;
  if (code >= 90 && code <= 97) style.fg = code - 82;
  if (code >= 40 && code <= 47) style.bg = code - 40;
  if (code >= 100 && code <= 107) style.bg = code - 92;
}

function same(a: Style, b: Style): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)] as (keyof Style)[]);
  return [...keys].every((key) => a[key] === b[key]);
}
