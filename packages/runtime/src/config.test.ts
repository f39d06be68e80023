import assert from 'node:assert/strict';
import { test } from 'node:test';
import { format, inspect } from 'node:util';
import * as z from 'zod';
import { parseConfig, Secret, secretSchema } from './config.ts';
import { CroftError } from './errors.ts';

const schema = z.strictObject({
  port: z.number().int().min(0).max(65_535).default(8119),
  dataDir: z.string(),
  key: secretSchema.optional(),
  pools: z.array(z.strictObject({ name: z.string(), size: z.number() })).default([]),
});

function mistakesOf(input: unknown): string {
  try {
    parseConfig(schema, input, '/etc/croft.json');
  } catch (error) {
    assert.ok(error instanceof CroftError && error.code === 'invalid' && error.hint !== undefined);
    return error.message;
  }
  return assert.fail('the settings were taken');
}

test('good settings come back with their defaults', () => {
  assert.deepEqual(parseConfig(schema, { dataDir: '/data' }, 'settings'), { port: 8119, dataDir: '/data', pools: [] });
});

test('settings are frozen through and through', () => {
  const config = parseConfig(schema, { dataDir: '/data', pools: [{ name: 'local', size: 1 }] }, 'settings');
  assert.throws(() => Object.assign(config, { port: 1 }), TypeError);
  assert.throws(() => config.pools.push({ name: 'more', size: 1 }), TypeError);
  assert.throws(() => Object.assign(config.pools[0] ?? {}, { size: 9 }), TypeError);
});

test('all mistakes are listed at once, each with its setting', () => {
  const message = mistakesOf({ port: 70_000, pools: [{ name: 'a' }, { name: 7, size: 1 }], prot: 1 });
  assert.match(message, /^\/etc\/croft\.json: 5 mistake\(s\)\n/);
  for (const setting of [/^ {2}port: /m, /^ {2}dataDir: /m, /^ {2}pools\.0\.size: /m, /^ {2}pools\.1\.name: /m, /prot/])
    assert.match(message, setting);
});

test('settings that are no object at all are refused, not met with a crash', () => {
  for (const input of [undefined, null, 5, 'text', []]) assert.match(mistakesOf(input), /\(all\): /);
});

test('a mistake beside a secret does not tell the secret', () => {
  assert.doesNotMatch(mistakesOf({ key: 'hunter2', port: 'x' }), /hunter2/);
  assert.doesNotMatch(mistakesOf({ key: ['hunter2'], dataDir: '/data' }), /hunter2/);
});

test('a secret is told by reveal and by nothing else', () => {
  const secret = new Secret('hunter2');
  const holder = { nested: [{ secret }] };
  /** As a careless caller would use it. */
  const asText = secret as unknown as string;
  assert.equal(secret.reveal(), 'hunter2');
  const prints = [
    `${asText}`,
    '' + asText,
    String(secret),
    JSON.stringify(holder),
    inspect(holder, { depth: null, showHidden: true }),
    inspect(secret, { showHidden: true, customInspect: false }),
    format('%s %j %o %O', secret, holder, secret, holder),
    new Error('with', { cause: secret }).stack ?? '',
    inspect(new Error('with', { cause: secret })),
    JSON.stringify(Object.entries(secret)),
    JSON.stringify(structuredClone(secret)),
  ];
  for (const print of prints) assert.doesNotMatch(print, /hunter2/);
  assert.equal(`${asText} ${JSON.stringify({ secret })}`, '[secret] {"secret":"[secret]"}');
});

test('console does not print a secret', (t) => {
  const written: string[] = [];
  t.mock.method(process.stdout, 'write', (text: unknown) => written.push(String(text)) > 0);
  console.log('key', new Secret('hunter2'), { key: new Secret('hunter2') });
  t.mock.restoreAll();
  assert.match(written.join(''), /\[secret\]/);
  assert.doesNotMatch(written.join(''), /hunter2/);
});
