/**
 * What machines run and people install, for everybody who may reach the farm: it is the code of this repository, and a machine that is about to join has no
 * way yet to show who it is. No secret and nothing of a build lies here. @see docs/protocols/distribution.md
 */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Hono } from 'hono';
import { sha256Hex } from '@croft/runtime/digest';
import { CroftError } from '@croft/runtime/errors';
import type { Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import { recipesDir } from '../distribution/bundle-program.ts';
import type { Distribution, PeoplesProgram } from '../distribution/distribution.ts';
import type { NodeBinaries } from '../distribution/node-binaries.ts';
import type { AppContext, AppEnv } from './context.ts';
import { answerBytes } from './stored-bytes.ts';

export interface DistributionDeps {
  readonly distribution: () => Promise<Distribution>;
  readonly gomote: () => Promise<PeoplesProgram>;
  readonly nodes: NodeBinaries;
  readonly clock: Clock;
  readonly log: Log;
}

/** Scripts and units of `env/`, by the name under which a machine fetches them. */
const recipes: Readonly<Record<string, string>> = {
  'start.sh': 'start.sh',
  'install.sh': 'linux/install.sh',
  'croft-buildlet.service': 'linux/croft-buildlet.service',
  'start.ps1': 'windows/start.ps1',
};

const text = 'text/plain; charset=utf-8';
const types: Readonly<Record<string, string>> = { mjs: 'text/javascript; charset=utf-8', json: 'application/json' };

export function mountDistribution(app: Hono<AppEnv>, deps: DistributionDeps): void {
  app.get('/dist/buildlet/:file', async (c) => {
    const { manifest, dir } = await deps.distribution();
    const name = c.req.param('file');
    const known = manifest.files.some((file) => file.name === name) || ['manifest.json', 'SHA256SUMS'].includes(name);
    if (!known) throw notHere(name);
    return answerText(c, await readFile(join(dir, name)), { name, deps });
  });
  app.get('/dist/gomote/:file', async (c) => {
    const { file, dir } = await deps.gomote();
    const name = c.req.param('file');
    if (![file.name, 'SHA256SUMS'].includes(name)) throw notHere(name);
    return answerText(c, await readFile(join(dir, name)), { name, deps });
  });
  app.get('/dist/node/SHA256SUMS', async (c) => {
    const all = await deps.nodes.list();
    const lines = all.map(({ platform, sha256 }) => `${sha256}  ${platform}\n`);
    return answerText(c, Buffer.from(lines.join('')), { name: 'SHA256SUMS', deps });
  });
  app.get('/dist/node/:file', async (c) => {
    const name = c.req.param('file');
    const packed = await deps.nodes.packed(name.replace(/\.gz$/, ''));
    if (!packed || !name.endsWith('.gz')) throw notHere(name);
    const { path, bytes: length, sha256 } = packed;
    const read = ({ from, to }: { from: number; to: number }) => createReadStream(path, { start: from, end: to - 1 });
    return answerBytes(c, { what: name, length, tag: `"${sha256}"`, headers: headersOf('application/gzip'), read }, streaming(c, deps));
  });
  app.get('/dist/:recipe', async (c) => {
    const name = c.req.param('recipe');
    if (name === 'SHA256SUMS') return answerText(c, await recipeSums(), { name, deps });
    if (!Object.hasOwn(recipes, name)) throw notHere(name);
    return answerText(c, await readRecipe(name), { name, deps });
  });
}

function notHere(name: string): CroftError {
  return new CroftError('not-found', `this farm gives out no file "${name.slice(0, 100)}"`, {
    hint: 'See /dist/buildlet/manifest.json, /dist/gomote/SHA256SUMS, /dist/node/SHA256SUMS and /dist/SHA256SUMS for those that there are.',
  });
}

function readRecipe(name: string): Promise<Buffer> {
  return readFile(join(recipesDir, recipes[name] ?? ''));
}

async function recipeSums(): Promise<Buffer> {
  const lines = await Promise.all(Object.keys(recipes).map(async (name) => `${sha256Hex(await readRecipe(name))}  ${name}\n`));
  return Buffer.from(lines.join(''));
}

function answerText(c: AppContext, bytes: Buffer, { name, deps }: { name: string; deps: DistributionDeps }): Response {
  const headers = headersOf(types[name.slice(name.lastIndexOf('.') + 1)] ?? text);
  const read = async function* whole({ from, to }: { from: number; to: number }): AsyncGenerator<Buffer> {
    yield bytes.subarray(from, to);
  };
  return answerBytes(c, { what: name, length: bytes.length, tag: `"${sha256Hex(bytes)}"`, headers, read }, streaming(c, deps));
}

function headersOf(type: string): Headers {
  return new Headers({ 'content-type': type, 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' });
}

function streaming(c: AppContext, { clock, log }: DistributionDeps) {
  return { request: c.req.raw, connection: c.env.connection, clock, log };
}
