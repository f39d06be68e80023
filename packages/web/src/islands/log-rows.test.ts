import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { hex, readable } from './log-rows.ts';

/** WCAG 2.2 relative luminance. */
function luminance(colour: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [darker = 0, lighter = 0] = [luminance(a), luminance(b)].toSorted((x, y) => x - y);
  return (lighter + 0.05) / (darker + 0.05);
}

/** The log's background in the stylesheet. */
const backgrounds = { light: '#fbfcfd', dark: '#0b0e13' } as const;

test('any colour a log asks for is readable in both themes', () => {
  const colours = fc.nat(0xffffff).map((value) => `#${value.toString(16).padStart(6, '0')}`);
  fc.assert(
    fc.property(colours, fc.constantFrom('light', 'dark'), (colour, theme) => {
      assert.ok(contrast(readable(colour, theme), backgrounds[theme]) >= 4.5);
    }),
    { numRuns: 2000 },
  );
});

test('a colour that is readable already stays as it is', () => {
  assert.equal(readable('#8b0000', 'light'), '#8b0000');
  assert.equal(readable('#ffd700', 'dark'), '#ffd700');
});

test('the palette is the one of terminals', () => {
  assert.deepEqual([16, 21, 196, 208, 231, 232, 255].map(hex), [
    '#000000',
    '#0000ff',
    '#ff0000',
    '#ff8700',
    '#ffffff',
    '#080808',
    '#eeeeee',
  ]);
});
