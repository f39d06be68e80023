/** The tables of docs/using/configuration.md against the schemas: every setting stands there, and no other. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { keysAt, type Path } from './explain-issues.ts';
import { poolSchemas } from './pool-schema.ts';
import { builderSchema, headSchema, listSchemas, matrixSchema } from './schema.ts';

const page = readFileSync(new URL('../../../docs/using/configuration.md', import.meta.url), 'utf8');

/** What stands in the first column of the tables below a heading. */
function documented(heading: string): string[] {
  const section = page.split(/^#{2,3} /m).find((part) => part.startsWith(`${heading}\n`)) ?? assert.fail(`no section is called ${heading}`);
  const cells = [...section.matchAll(/^\| (`[^|]*) \|/gm)].map(([, cell = '']) => cell);
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, setting = '']) => setting)).toSorted();
}

type Schema = Parameters<typeof keysAt>[0];

/** The settings at a place; those of small groups by their full names. */
function settings(schema: Schema, groups: readonly string[] = [], path: Path = []): string[] {
  const all = keysAt(schema, path).flatMap((key) =>
    groups.includes(key) ? keysAt(schema, [...path, key]).map((inner) => `${key}.${inner}`) : [key],
  );
  return [...new Set(all)].toSorted();
}

const matrix = ['matrix', ...keysAt(matrixSchema, []).map((key) => `matrix.${key}`)];
const sections: Record<string, string[]> = {
  'The whole': [...settings(headSchema, ['compat', 'sessions']), 'compat'].toSorted(),
  'A repository': settings(listSchemas.repos),
  'A host type': settings(listSchemas.hostTypes),
  'A local pool': settings(poolSchemas.local),
  'A Docker pool': settings(poolSchemas.docker),
  'A reverse pool': settings(poolSchemas.reverse),
  'A builder': [...settings(builderSchema, ['needs', 'retention', 'source', 'checkout', 'shell']), ...matrix].toSorted(),
  'A step': settings(builderSchema, [], ['steps', 0]),
  'An artifact': settings(builderSchema, [], ['artifacts', 0]),
  'A cache': settings(builderSchema, [], ['caches', 0]),
  'A service': settings(builderSchema, ['ready'], ['services', 0]),
  Policies: settings(listSchemas.policies),
};

for (const [heading, expected] of Object.entries(sections)) {
  test(`the page has every setting of "${heading}", and no other`, () => {
    assert.ok(expected.length > 3, 'the schema has settings');
    assert.deepEqual(documented(heading), expected);
  });
}

test('what has no table of its own is named in its section', () => {
  const text = (heading: string): string => page.split(`## ${heading}\n`)[1]?.split(/^## /m)[0] ?? '';
  const missing = [
    ...settings(listSchemas.dependents).filter((key) => !text('Dependents').includes(`\`${key}\``)),
    ...['name', 'env', 'file'].filter((key) => !text('Secrets').includes(`\`${key}\``)),
    ...keysAt(headSchema, ['environments']).filter((key) => !text('Environments').includes(`\`${key}\``)),
    ...['onlyBuilders'].filter((key) => !text('Environments').includes(`\`${key}\``)),
  ];
  assert.deepEqual(missing, []);
});
