import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { renderLine, stripAnsi, type Style } from './ansi.ts';

const esc = '\u001b';

/** Pieces of which terminal output is made, in any order and cut anywhere. */
const hostileLines = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 12 }),
      fc.constantFrom(
        '\r',
        '\b',
        '\t',
        '\u0007',
        `${esc}[K`,
        `${esc}[1K`,
        `${esc}[2K`,
        `${esc}[`,
        `${esc}]8;;http://x`,
        `${esc}\\`,
        `${esc}(B`,
        `${esc}c`,
        '\u009b31m',
        `${esc}[1;31m`,
        `${esc}[38;2;1;2;3m`,
        `${esc}[38;5m`,
        `${esc}[999999999999G`,
        `${esc}[5G`,
      ),
      fc.array(fc.nat(300), { maxLength: 6 }).map((codes) => `${esc}[${codes.join(';')}m`),
    ),
    { maxLength: 40 },
  )
  .map((parts) => parts.join('').replaceAll('\n', ''));

test('no control character but tab is ever rendered, whatever comes', () => {
  fc.assert(
    fc.property(hostileLines, (line) => assert.doesNotMatch(stripAnsi(line), /[\0-\x08\x0a-\x1f\x7f-\x9f]/)),
    { numRuns: 2000 },
  );
});

test('no more is rendered than was written', () => {
  fc.assert(fc.property(hostileLines, (line) => assert.ok(stripAnsi(line).length <= line.length)));
});

test('text without controls is rendered as it is, in the style that was going on', () => {
  const style: Style = { fg: 1, bold: true };
  const lines = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }).filter((text) => !/[\p{Cc}]/u.test(text));
  fc.assert(
    fc.property(lines, (line) => {
      assert.deepEqual(renderLine(line, style), { runs: [{ text: line, style }], style });
    }),
  );
});

test('text between colours is kept whole and in order', () => {
  const words = fc.array(fc.tuple(fc.stringMatching(/^[a-z ]{1,8}$/), fc.nat(107)), { maxLength: 20 });
  fc.assert(
    fc.property(words, (parts) => {
      assert.equal(stripAnsi(parts.map(([text, code]) => `${esc}[${code}m${text}`).join('')), parts.map(([text]) => text).join(''));
    }),
  );
});

test('a line of a megabyte of unfinished escapes takes no time', { timeout: 5_000 }, () => {
  for (const piece of [`${esc}]`, `${esc}[1;`, `${esc}P0`, `${esc}[38;`]) assert.ok(stripAnsi(piece.repeat(300_000)).length > 0);
});

const colours: readonly (readonly [string, Style])[] = [
  ['31', { fg: 1 }],
  ['1;32', { bold: true, fg: 2 }],
  ['97;101', { fg: 15, bg: 9 }],
  ['38;5;208', { fg: 208 }],
  ['48;5;17;3', { bg: 17, italic: true }],
  ['38;2;255;0;128', { fg: '#ff0080' }],
  ['38:2::255:0:128', { fg: '#ff0080' }],
  ['4:3', { underline: true }],
  ['4;9;7', { underline: true, strike: true, inverse: true }],
  ['31;39', {}],
  ['31;0', {}],
  ['', {}],
  ['38;5;999', {}],
  ['8', {}],
];

for (const [codes, style] of colours) {
  test(`colour codes "${codes}" give ${JSON.stringify(style)}`, () => {
    assert.deepEqual(renderLine(`${esc}[${codes}mx`).runs, [{ text: 'x', style }]);
  });
}

test('colours go on into the next line until they are reset', () => {
  const { style } = renderLine(`${esc}[35mpurple`);
  assert.deepEqual(renderLine(`more${esc}[0m`, style), { runs: [{ text: 'more', style: { fg: 5 } }], style: {} });
});

const bars: readonly (readonly [name: string, written: string, seen: string])[] = [
  ['a carriage return starts the line again', '10%\r20%\r100%', '100%'],
  ['what is not overwritten stays', 'long text\rshort', 'shorttext'],
  ['a line end of CR LF loses nothing', 'done\r', 'done'],
  ['erase to the end', `downloading${esc}[6G${esc}[K.`, 'downl.'],
  ['erase the whole line', `bar 50%${esc}[2K\rok`, 'ok     '],
  ['npm starts its line again with column 1', `idealTree${esc}[1G${esc}[0Kdone`, 'done'],
  ['backspace', 'abd\bc', 'abc'],
  ['a title and a link are dropped, their text stays', `${esc}]0;title\u0007${esc}]8;;http://x${esc}\\link${esc}]8;;${esc}\\`, 'link'],
  ['an unfinished title hides nothing', `${esc}]0;rm -rf /`, ']0;rm -rf /'],
  ['cursor movements are dropped', `${esc}[2J${esc}[H${esc}[10;20Hhello${esc}[?25l`, 'hello'],
  ['tabs stay', 'a\tb', 'a\tb'],
];

for (const [name, written, seen] of bars) {
  test(`as a terminal shows it: ${name}`, () => assert.equal(stripAnsi(written), seen));
}

test('characters outside of the basic plane are overwritten as one', () => {
  assert.equal(stripAnsi('😀b\rc'), 'cb');
});
