import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCodes, type ErrorCode } from '@croft/runtime/errors';
import { codeOfStatus, httpStatus } from './status-codes.ts';

/** Codes that share the status of another, which is the one that comes back. */
const twins: Partial<Record<ErrorCode, ErrorCode>> = { stopped: 'unavailable', cancelled: 'conflict' };

for (const code of errorCodes) {
  test(`${code} goes out as an error and comes back as ${twins[code] ?? code}`, () => {
    assert.ok(httpStatus(code) >= 400 && httpStatus(code) <= 599);
    assert.equal(codeOfStatus(httpStatus(code)), twins[code] ?? code);
    assert.equal(httpStatus(codeOfStatus(httpStatus(code))), httpStatus(code));
  });
}

const foreign: [status: number, code: ErrorCode][] = [
  [408, 'timeout'],
  [410, 'not-found'],
  [507, 'exhausted'],
  [405, 'invalid'],
  [418, 'invalid'],
  [501, 'invalid'],
  [502, 'unavailable'],
  [599, 'unavailable'],
];

for (const [status, code] of foreign) {
  test(`a ${status} of others counts as ${code}`, () => assert.equal(codeOfStatus(status), code));
}

test('what could succeed when tried again never counts as a wrong request', () => {
  for (const status of [408, 429, 500, 502, 503, 504]) assert.notEqual(codeOfStatus(status), 'invalid', `${status}`);
});
