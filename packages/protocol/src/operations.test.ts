import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openApiDocument } from './openapi.ts';
import { operations, pathOf, type Operation, type OperationName } from './operations.ts';
import { pathParameters } from './path-parameters.ts';
import { httpStatus } from './status-codes.ts';

const all = Object.entries(operations) as [OperationName, Operation][];
const document = openApiDocument('1.2.3');

test('no two operations share a method and a path', () => {
  const addresses = all.map(([, { method, path }]) => `${method} ${path.replaceAll(/\{\w+\}/g, '{}')}`);
  assert.deepEqual(
    addresses.filter((address, index) => addresses.indexOf(address) !== index),
    [],
  );
});

test('every parameter of a path is described', () => {
  for (const [name, { path }] of all)
    for (const [, key = ''] of path.matchAll(/\{(\w+)\}/g)) assert.ok(key in pathParameters, `${name}: ${key}`);
});

test('only looking is open to viewers', () => {
  for (const [name, { method, role }] of all) assert.ok(method === 'GET' || (role !== 'anyone' && role !== 'viewer'), name);
});

test('a path is filled in, and a value cannot leave its segment', () => {
  assert.equal(pathOf('build.get', { build: 'B1' }), '/api/v1/builds/B1');
  assert.equal(pathOf('log.attempt', { build: 'B1', attempt: '2' }), '/builds/B1/attempts/2/log');
  assert.equal(pathOf('build.get', { build: '../../x?y#z' }), '/api/v1/builds/..%2F..%2Fx%3Fy%23z');
});

test('the document holds every operation with its errors, and every reference leads somewhere', () => {
  assert.equal(document.info['version'], '1.2.3');
  for (const [name, { path, method, errors }] of all) {
    const described = document.paths[path]?.[method.toLowerCase()] as
      | { operationId: string; responses: Record<string, unknown> }
      | undefined;
    assert.equal(described?.operationId, name);
    for (const code of errors) assert.ok(described.responses[httpStatus(code)], `${name}: ${code}`);
  }
  const schemas = (document['components'] as { schemas: Record<string, unknown> }).schemas;
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(([, name = '']) => name);
  assert.ok(references.length > 0);
  for (const name of references) assert.ok(name in schemas, name);
});
