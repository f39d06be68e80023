/** How Go's programs are got, with a `go` that fails as it is told to. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemRandom } from '@croft/runtime/random';
import { goPrograms } from './go-programs.ts';

const kept = new URL('../../../.croft/interop/', import.meta.url).pathname;

interface Stage {
  readonly env: Record<string, string>;
  /** How often it was asked for a module. */
  asked(): number;
}

/** @param download what `go mod download` does, in sh */
function stage(context: TestContext, download: string): Stage {
  const dir = mkdtempSync(join(tmpdir(), 'croft-go-'));
  mkdirSync(kept, { recursive: true });
  const before = new Set(readdirSync(kept));
  context.after(() => {
    rmSync(dir, { recursive: true });
    for (const name of readdirSync(kept)) if (!before.has(name) && name !== 'lock') rmSync(join(kept, name), { recursive: true });
  });
  const script = `#!/bin/sh\n[ "$1" = version ] && { echo go version ${systemRandom.hex(8)}; exit; }\necho asked >> ${dir}/asked\n${download}\n`;
  writeFileSync(join(dir, 'go'), script, { mode: 0o755 });
  writeFileSync(join(dir, 'asked'), '');
  return {
    env: { PATH: `${dir}:/usr/bin:/bin`, HOME: dir },
    asked: () => readFileSync(join(dir, 'asked'), 'utf8').split('\n').length - 1,
  };
}

const says = (error: string): string => `echo '{ "Error": "${error}" }'; exit 1`;

test('a module that the proxy does not have is not asked for again at once', async (context) => {
  const { env, asked } = stage(context, says('reading https://proxy/x.info: 404 Not Found'));
  for (let time = 0; time < 2; time += 1) assert.match(JSON.stringify(await goPrograms({ env })), /missing.*404 Not Found/);
  assert.equal(asked(), 2, 'the old one and the new one, once each');
});

test('a network that fails is asked again the next time', async (context) => {
  const { env, asked } = stage(context, says('x: invalid version: Get https://proxy/x.info: dial tcp: lookup proxy: no such host'));
  for (let time = 0; time < 2; time += 1) assert.match(JSON.stringify(await goPrograms({ env })), /missing.*no such host/);
  assert.equal(asked(), 2, 'for the old one, which it may have: nothing newer stands for it');
});

test('a module that is not what it was is told, and no other one stands for it', async (context) => {
  const { env, asked } = stage(context, says('verifying module: checksum mismatch'));
  assert.match(JSON.stringify(await goPrograms({ env })), /missing.*529c4e31021c.*checksum mismatch/);
  assert.equal(asked(), 1);
});

test('a module that is had and does not build is told, and no other one stands for it', async (context) => {
  const got = mkdtempSync(join(tmpdir(), 'croft-go-module-'));
  context.after(() => rmSync(got, { recursive: true }));
  mkdirSync(join(got, 'internal/coordinator/pool'), { recursive: true });
  const had = `case "$*" in *@529c4e31021c) echo '{"Dir":"${got}","Sum":"h1:x"}';; *) echo 'pool.go:1: syntax error' >&2; exit 1;; esac`;
  const { env, asked } = stage(context, had);
  await assert.rejects(goPrograms({ env }), /build .*cmd\/gomote.* of Go of 2022-07 \(529c4e31021c\)/);
  assert.equal(asked(), 2, 'for the module, and to build it');
});

test('whoever breaks off is told so, and nothing is remembered or left', async (context) => {
  const { env, asked } = stage(context, 'exec sleep 60');
  const breaking = new AbortController();
  const before = readdirSync(kept).length;
  const reason = new Error('Ctrl-C');
  const progress = (text: string): void => void (text.startsWith('fetching') && setImmediate(() => breaking.abort(reason)));
  await assert.rejects(goPrograms({ env, signal: breaking.signal, progress }), reason);
  assert.equal(readdirSync(kept).length, before);
  await assert.rejects(goPrograms({ env, signal: AbortSignal.abort(reason) }), reason);
  assert.ok(asked() <= 2);
});
