import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { importsOf, maskSource } from './source-text.ts';

test('blanks comments, strings, templates and regular expressions, and keeps code and positions', () => {
  const cases: [string, string][] = [
    ["a('x // y'); // z", "a('      ');     "],
    ['/* a\nb */ c', '    \n     c'],
    ['`one ${two} three`', '`    ${two}      `'],
    ['`a${`b${c}`}d` + e', '` ${` ${c}`} ` + e'],
    ['`${{ a: 1 }.a}x` + y', '`${{ a: 1 }.a} ` + y'],
    ['a / b / c', 'a / b / c'],
    ['return /[\'"`/]/.test(x)', 'return /      /.test(x)'],
    ["replace(/\\/\\*'/g, y)", 'replace(/     /g, y)'],
    ['\'it\\\'s\' + "q\\""', '\'     \' + "   "'],
  ];
  for (const [source, expected] of cases) assert.equal(maskSource(source), expected);
});

test('what it returns is as long as what it was given, also for its own source and for unfinished text', () => {
  const own = readFileSync(new URL('./source-text.ts', import.meta.url), 'utf8');
  for (const source of [own, '`abc', "'abc", '/* abc', '`a${b', '}}}', '/']) assert.equal(maskSource(source).length, source.length);
});

test('finds static, type, bare, re-exporting and dynamic imports, and none in text', () => {
  const source = [
    "import { a } from './a.ts';",
    "import type { B } from '@croft/b/c';",
    "import 'node:fs';",
    'export * from "./d.ts";',
    'import {\n  e,\n} from',
    "  './e.ts';",
    "const f = await import('./f.ts');",
    "// import './g.ts'",
    'const text = "import \'./h.ts\'";',
    "const from = 'nowhere';",
  ].join('\n');
  const found = importsOf(source).map(({ specifier, line }) => `${specifier} ${line}`);
  assert.deepEqual(found, ['./a.ts 1', '@croft/b/c 2', 'node:fs 3', './d.ts 4', './e.ts 8', './f.ts 9']);
});
