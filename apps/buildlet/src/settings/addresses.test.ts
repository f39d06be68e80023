import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CroftError } from '@croft/runtime/errors';
import { isLoopback, parseHostPort, parseListen, shownAddress } from './addresses.ts';
import { parseFlags } from './flags.ts';

test('an address that is shown is the same one when it is given again', () => {
  const hosts = fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6());
  fc.assert(
    fc.property(hosts, fc.integer({ min: 0, max: 65_535 }), (host, port) => {
      const address = { kind: 'tcp', host, port } as const;
      assert.deepEqual(parseListen(shownAddress(address), 'any'), address);
    }),
  );
});

test('whatever text is given, an address is one or it is none', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const place = parseHostPort(text);
      if (place) assert.ok(place.port <= 65_535 && !/[\s/[\]]/.test(place.host));
    }),
  );
});

test('loopback is what never leaves the machine, and no name that only begins like it', () => {
  for (const address of ['127.0.0.1', '127.255.0.3', '::1', 'localhost', '::ffff:127.0.0.1']) assert.ok(isLoopback(address), address);
  for (const address of ['127.0.0.1.example', 'localhost.example', '128.0.0.1', '0.0.0.0', '::', '127.1', '', 'LOCALHOST.'])
    assert.ok(!isLoopback(address), address);
});

test('whatever flags are given, they are understood or refused as invalid', () => {
  const words = fc.oneof(fc.string(), fc.stringMatching(/^--?[a-z-]*(?:=.*)?$/));
  fc.assert(
    fc.property(fc.array(words, { maxLength: 6 }), (args) => {
      try {
        for (const name of Object.keys(parseFlags(args))) assert.match(name, /^[a-z][a-z-]*$/);
      } catch (error) {
        assert.ok(error instanceof CroftError && error.code === 'invalid');
      }
    }),
  );
});
