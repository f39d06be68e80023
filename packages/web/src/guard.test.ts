import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { guard, type GuardOptions } from './guard.ts';
import { fakeConnection } from './testing.ts';

const options: GuardOptions = { publicNames: ['farm.example'] };
const own = 'http://127.0.0.1:8080';
const link = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };

function passes(
  method: string,
  headers: Record<string, string>,
  { url = `${own}/builds`, ...over }: { url?: string } & Partial<GuardOptions> = {},
): boolean {
  try {
    guard(new Request(url, { method, headers }), fakeConnection(), { ...options, ...over });
    return true;
  } catch (error) {
    assert.ok(isCode(error, 'forbidden'), String(error));
    return false;
  }
}

describe('what a page elsewhere makes a browser send', () => {
  const refused: [string, string, Record<string, string>][] = [
    ['a form of another site', 'POST', { origin: 'http://evil.example', 'content-type': 'application/x-www-form-urlencoded' }],
    ['a form in a sandbox', 'POST', { origin: 'null', 'sec-fetch-site': 'cross-site' }],
    ['a script of another site', 'POST', { origin: 'http://evil.example', 'content-type': 'application/json' }],
    ['another port of this machine', 'POST', { origin: 'http://127.0.0.1:3000', 'sec-fetch-site': 'same-site' }],
    ['another scheme', 'POST', { origin: 'https://127.0.0.1:8080' }],
    ['a same-site page that hides its origin', 'DELETE', { 'sec-fetch-site': 'same-site' }],
    ['a preflight', 'OPTIONS', { origin: 'http://evil.example', 'access-control-request-method': 'DELETE' }],
    ['a link that posts', 'POST', { ...link, origin: 'http://evil.example' }],
    [
      'an event source',
      'GET',
      { origin: 'http://evil.example', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' },
    ],
    ['an image', 'GET', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' }],
    ['a frame', 'GET', { ...link, 'sec-fetch-dest': 'iframe' }],
    ['an old browser’s form without an origin', 'POST', { 'content-type': 'text/plain' }],
  ];
  for (const [what, method, headers] of refused) test(`${what} is refused`, () => assert.equal(passes(method, headers), false));
});

describe('what is let through', () => {
  const allowed: [string, string, Record<string, string>][] = [
    ['following a link from another site', 'GET', link],
    ['a typed address', 'GET', { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }],
    [
      'a form of our own page',
      'POST',
      { origin: own, 'sec-fetch-site': 'same-origin', 'content-type': 'application/x-www-form-urlencoded' },
    ],
    ['our own script', 'GET', { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' }],
    ['a program that sends JSON', 'POST', { 'content-type': 'application/json' }],
    ['a program that sends nothing', 'DELETE', {}],
  ];
  for (const [what, method, headers] of allowed) test(what, () => assert.equal(passes(method, headers), true));
});

describe('the name a request was sent to', () => {
  const names: [string, boolean][] = [
    ['http://localhost:8080/', true],
    ['http://[::1]:8080/', true],
    ['http://127.0.0.1/', true],
    ['http://FARM.example/', true],
    ['http://rebound.example:8080/', false],
    ['http://localhost.evil.example/', false],
    ['http://127.0.0.1.evil.example/', false],
    ['http://farm.example.evil.example/', false],
    ['http://10.0.0.1/', false],
  ];
  for (const [url, good] of names) test(`${url} is ${good ? 'ours' : 'not ours'}`, () => assert.equal(passes('GET', {}, { url }), good));

  test('a whole address in the request line does not hide another Host', () => {
    assert.equal(passes('GET', { host: 'rebound.example' }), false);
    assert.equal(passes('GET', { host: '127.0.0.1:8080' }), true);
  });

  test('a machine may be reached by the address the connection came in on', () => {
    const request = new Request('https://192.0.2.7:8080/');
    assert.equal(guard(request, fakeConnection({ localAddress: '192.0.2.7' }), options), 'https://192.0.2.7:8080');
    assert.throws(() => guard(request, fakeConnection({ localAddress: '192.0.2.8' }), options));
  });

  test('behind a proxy the public origin counts as ours', () => {
    const publicOrigin = 'https://farm.example';
    assert.equal(passes('POST', { origin: publicOrigin }, { url: 'http://farm.example/', publicOrigin }), true);
    assert.equal(passes('POST', { origin: publicOrigin }, { url: 'http://farm.example/' }), false);
  });
});
