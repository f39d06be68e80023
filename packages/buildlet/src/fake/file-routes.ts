/** A fake machine's files over HTTP, as Go's buildlet of mid-2022 shows them. @see buildlet.md 1.5 to 1.9 */
import { createHash } from 'node:crypto';
import { CroftError } from '@croft/runtime/errors';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import { readTarGz } from '@croft/streams/tar-read';
import { bodyOf, formOf, isMethod, say, write, type Asked } from './answers.ts';
import { clean, type FakeNode, type FakeTree } from './tree.ts';

export type FakeRoute = (asked: Asked) => Promise<void>;

const maxArchive = { maxBytes: 1024 ** 3, maxEntries: 100_000 };

export function fileRoutes(tree: FakeTree, now: () => number): Record<string, FakeRoute> {
  return {
    '/ls': (asked) => list(asked, tree),
    '/tgz': (asked) => archive(asked, tree),
    '/write': (asked) => writeFile(asked, tree, now),
    '/writetgz': (asked) => unpack(asked, tree, now),
    '/removeall': (asked) => removeAll(asked, tree),
  };
}

async function list(asked: Asked, tree: FakeTree): Promise<void> {
  const { response, url } = asked;
  if (!isMethod(asked, 'GET')) return;
  const dir = directoryOf(url);
  if (dir === undefined) return say(response, 400, 'bogus dir\n');
  if (!tree.find(dir)) return say(response, 500, `Walk error: lstat ${dir}: no such file or directory\n`);
  const skipped = url.searchParams.getAll('skip').filter((name) => name !== '');
  const isLeftOut = (path: string): boolean => skipped.some((name) => path === name || path.startsWith(`${name}/`));
  for (const [path, node] of tree.walk(dir)) {
    if (isLeftOut(path) || (path.includes('/') && url.searchParams.get('recursive') !== 'true')) continue;
    await write(response, listLine(path, node, url.searchParams.get('digest') === 'true'));
  }
  response.end();
}

function listLine(path: string, node: FakeNode, withDigest: boolean): string {
  if (node.kind === 'link') return `Lrwxrwxrwx\t${path}\n`;
  const mode = [6, 3, 0].map((shift) => modeText((node.mode >> shift) & 7)).join('');
  if (node.kind === 'directory') return `d${mode}\t${path}/\n`;
  const time = new Date(node.mtimeAt).toISOString().replace(/\.\d+/, '');
  const digest = withDigest ? `\t${createHash('sha1').update(node.content).digest('hex')}` : '';
  return `-${mode}\t${path}\t${node.content.length}\t${time}${digest}\n`;
}

function modeText(bits: number): string {
  return ['r', 'w', 'x'].map((letter, at) => ((bits & (4 >> at)) === 0 ? '-' : letter)).join('');
}

async function archive(asked: Asked, tree: FakeTree): Promise<void> {
  const { response, url } = asked;
  if (!isMethod(asked, 'GET')) return;
  const dir = directoryOf(url);
  if (dir === undefined) return say(response, 400, 'bogus dir\n');
  if (tree.find(dir)?.kind !== 'directory') return void response.destroy();
  response.setHeader('Content-Type', 'application/x-gzip');
  for await (const piece of packTarGz(entriesOf(tree.walk(dir)))) await write(response, piece);
  response.end();
}

async function* entriesOf(found: readonly [string, FakeNode][]): AsyncGenerator<TarEntry> {
  for (const [name, node] of found) {
    const path = Buffer.from(name);
    if (node.kind === 'directory') yield { kind: 'directory', path };
    else if (node.kind === 'link') yield { kind: 'link', path, target: Buffer.from(node.target) };
    else
      yield {
        kind: 'file',
        path,
        mode: node.mode,
        size: node.content.length,
        mtime: Math.round(node.mtimeAt / 1_000),
        content: node.content,
      };
  }
}

async function writeFile(asked: Asked, tree: FakeTree, now: () => number): Promise<void> {
  const { request, response, url } = asked;
  if (request.method !== 'PUT') return say(response, 400, 'requires POST method\n');
  const path = url.searchParams.get('path') ?? '';
  if (path === '' || !isBelow(path)) return say(response, 400, 'bad path\n');
  const mode = url.searchParams.get('mode') ?? '';
  if (!/^\d+$/.test(mode) || Number(mode) >= 2 ** 24) return say(response, 400, 'bad mode\n');
  tree.put(path, { kind: 'file', mode: Number(mode) & 0o777, mtimeAt: now(), content: await bodyOf(request) });
  say(response, 200, 'OK');
}

/** Links are passed over, as they are there. */
async function unpack(asked: Asked, tree: FakeTree, now: () => number): Promise<void> {
  const { request, response, url } = asked;
  if (!isMethod(asked, 'PUT', 'POST')) return;
  const dir = directoryOf(url);
  if (dir === undefined) return say(response, 400, 'bogus dir\n');
  tree.makeDirectory(dir);
  const from = request.method === 'PUT' ? request : await fetchArchive(await formOf(request));
  if (typeof from === 'string') return say(response, from === '' ? 400 : 500, from || 'missing url POST param\n');
  try {
    for await (const { header, content } of readTarGz(from, maxArchive)) {
      const path = `${dir || '.'}/${Buffer.from(header.name, 'latin1').toString()}`;
      if (header.type === '5') tree.makeDirectory(path);
      if (header.type !== '0' && header.type !== '\0') continue;
      const whole = Buffer.concat(await Array.fromAsync(content));
      tree.put(path, { kind: 'file', mode: header.mode & 0o777, mtimeAt: Math.min(header.mtime * 1_000, now()), content: whole });
    }
    say(response, 200, 'OK');
  } catch (error) {
    say(response, 400, `${(error as Error).message}\n`);
  }
}

async function fetchArchive(form: URLSearchParams): Promise<AsyncIterable<Uint8Array> | string> {
  const url = form.get('url');
  if (url === null) return '';
  const answer = await fetch(url);
  if (answer.ok && answer.body) return answer.body;
  return `writetgz: fetching provided URL ${JSON.stringify(url)}: ${answer.status} ${answer.statusText}\n`;
}

async function removeAll(asked: Asked, tree: FakeTree): Promise<void> {
  const { request, response, url } = asked;
  if (!isMethod(asked, 'POST')) return;
  const paths = [...url.searchParams.getAll('path'), ...(await formOf(request)).getAll('path')];
  if (paths.length === 0) return say(response, 400, "requires 'path' parameter\n");
  const bad = paths.find((path) => path === '' || !isBelow(path));
  if (bad !== undefined) return say(response, 400, `bad 'path' parameter: ${JSON.stringify(bad)}\n`);
  for (const path of paths) tree.remove(path);
  say(response, 200, '');
}

function directoryOf(url: URL): string | undefined {
  const dir = url.searchParams.get('dir') ?? '';
  return isBelow(dir) ? clean(dir) : undefined;
}

function isBelow(path: string): boolean {
  try {
    clean(path);
    return true;
  } catch (error) {
    if (error instanceof CroftError) return false;
    throw error;
  }
}
