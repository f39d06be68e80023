/**
 * How many cells a character takes, as the C library of a current Linux counts them: with emoji as wide, which xterm by itself does not know, so that
 * a shell's cursor and the one on the screen would part.
 */
import type { IUnicodeVersionProvider } from '@xterm/xterm';

const none = /[\p{Mn}\p{Me}\p{Cf}\u{1160}-\u{11ff}\u{d7b0}-\u{d7fb}]/u;
const wide =
  /[\p{Emoji_Presentation}\u{1100}-\u{115f}\u{2329}\u{232a}\u{2e80}-\u{303e}\u{3041}-\u{a4c6}\u{a960}-\u{a97c}\u{ac00}-\u{d7a3}\u{f900}-\u{faff}\u{fe10}-\u{fe19}\u{fe30}-\u{fe6b}\u{ff01}-\u{ff60}\u{ffe0}-\u{ffe6}\u{16fe0}-\u{1b2fb}\u{1f200}-\u{1f265}\u{20000}-\u{3fffd}]/u;
/** Halves of flags, which are two such characters. */
const narrow = /[\u{1f1e6}-\u{1f1ff}\u{ad}]/u;
/** Below it all take one cell, but for control characters, which never get here. */
const firstOther = 0x300;

export function cellWidth(codePoint: number): 0 | 1 | 2 {
  if (codePoint < firstOther) return 1;
  const char = String.fromCodePoint(codePoint);
  if (narrow.test(char)) return 1;
  if (none.test(char)) return 0;
  return wide.test(char) ? 2 : 1;
}

/** For `terminal.unicode.register`. What takes no cell joins the character before it. */
export const cellWidths: IUnicodeVersionProvider = {
  version: 'croft',
  wcwidth: cellWidth,
  charProperties(codePoint, preceding) {
    const width = cellWidth(codePoint);
    const before = widthOf(preceding);
    return width === 0 && before > 0 ? pack(before, true) : pack(width, false);
  },
};

/** As xterm keeps them: a state of 24 bits, the width in two, and whether it joins. */
function pack(width: number, joins: boolean): number {
  return (width << 1) | (joins ? 1 : 0);
}

function widthOf(properties: number): number {
  return (properties >> 1) & 3;
}
