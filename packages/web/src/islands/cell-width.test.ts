/** Widths as glibc 2.36 gives them (`wcwidth` under C.UTF-8). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cellWidth, cellWidths } from './cell-width.ts';

const codePoints = (text: string): number[] => text.match(/./gu)?.map((char) => char.codePointAt(0) ?? 0) ?? [];

test('a character takes the cells that the C library counts', () => {
  const widths: readonly (readonly [width: number, characters: string])[] = [
    [1, 'aäß€─ø\u{ad}☺✓🇩'],
    [2, '日本한글「！㈱🎉🚀✅❌⏳🧪𠀀'],
    [0, '\u{301}\u{200d}\u{fe0f}\u{200b}\u{1160}'],
  ];
  for (const [width, characters] of widths) for (const one of codePoints(characters)) assert.equal(cellWidth(one), width, one.toString(16));
});

test('what takes no cell joins the character before it, at the width of that', () => {
  const of = (text: string): { joins: boolean; width: number } => {
    const last = codePoints(text).reduce((before, one) => cellWidths.charProperties(one, before), 0);
    return { joins: (last & 1) === 1, width: (last >> 1) & 3 };
  };
  assert.deepEqual(of('e\u{301}'), { joins: true, width: 1 });
  assert.deepEqual(of('日\u{301}'), { joins: true, width: 2 });
  assert.deepEqual(of('✅a'), { joins: false, width: 1 });
  assert.deepEqual(of('\u{301}'), { joins: false, width: 0 });
});
