/**
 * The pages' stylesheets, scripts and icon. Bundled in memory when first asked for (20 to 50 ms), named by their content so
 * that browsers keep them for ever, and compressed once. Nothing is written to disk.
 */
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { sha256Hex } from '@croft/runtime/digest';
import { bundleSources } from './bundle-sources.ts';

export const assetNames = ['croft.css', 'croft.js', 'log.js', 'terminal.js', 'terminal.css', 'icon.svg'] as const;
export type AssetName = (typeof assetNames)[number];
export type AssetUrls = Readonly<Record<AssetName, string>>;

export interface Assets {
  /** Paths below `/static/`, by name. */
  urls(): Promise<AssetUrls>;
  /** The answer to a request below `/static/`; 404 for what no page of this version names. */
  respond(request: Request): Promise<Response>;
}

interface Asset {
  readonly type: string;
  readonly tag: string;
  readonly bodies: {
    readonly identity: Uint8Array<ArrayBuffer>;
    readonly gzip: Uint8Array<ArrayBuffer>;
    readonly br: Uint8Array<ArrayBuffer>;
  };
}

interface Bundle {
  readonly urls: AssetUrls;
  readonly byPath: ReadonlyMap<string, Asset>;
}

const sources = fileURLToPath(new URL('..', import.meta.url));
const types = { css: 'text/css; charset=utf-8', js: 'text/javascript; charset=utf-8', svg: 'image/svg+xml' };
const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" fill="#2f7d5b"><path d="M1 1h6v6H1zM9 9h6v6H9z"/><path d="M9 1h6v6H9zM1 9h6v6H1z" opacity=".45"/></svg>`;

/** One bundle a process: its sources do not change while it runs. */
let bundle: Promise<Bundle> | undefined;

export function createAssets(): Assets {
  return {
    urls: async () => (await ready()).urls,
    async respond(request) {
      const asset = (await ready()).byPath.get(new URL(request.url).pathname);
      return asset
        ? answer(asset, request)
        : new Response('no such file\n', { status: 404, headers: { 'content-type': 'text/plain; charset=utf-8' } });
    },
  };
}

function ready(): Promise<Bundle> {
  bundle ??= makeBundle().catch((error: unknown) => {
    bundle = undefined; // the next request tries again
    throw error;
  });
  return bundle;
}

function answer({ type, tag, bodies }: Asset, request: Request): Response {
  const headers = {
    'cache-control': 'public, max-age=31536000, immutable',
    etag: tag,
    vary: 'accept-encoding',
    'x-content-type-options': 'nosniff',
  };
  if (request.headers.get('if-none-match') === tag) return new Response(null, { status: 304, headers });
  const accepted = request.headers.get('accept-encoding') ?? '';
  const encoding = /\bbr\b/.test(accepted) ? 'br' : /\bgzip\b/.test(accepted) ? 'gzip' : 'identity';
  return new Response(request.method === 'HEAD' ? null : bodies[encoding], {
    headers: { ...headers, 'content-type': type, ...(encoding === 'identity' ? {} : { 'content-encoding': encoding }) },
  });
}

async function makeBundle(): Promise<Bundle> {
  const made = await Promise.all(
    [...(await compile()), { name: 'icon.svg' as const, bytes: new TextEncoder().encode(icon) }].map(makeAsset),
  );
  return {
    urls: Object.fromEntries(made.map(({ name, path }) => [name, path])) as Record<AssetName, string>,
    byPath: new Map(made.map(({ path, asset }) => [path, asset])),
  };
}

async function makeAsset({
  name,
  bytes,
}: {
  name: AssetName;
  bytes: Uint8Array;
}): Promise<{ name: AssetName; path: string; asset: Asset }> {
  const [stem, suffix] = name.split('.') as [string, keyof typeof types];
  const hash = sha256Hex(bytes).slice(0, 12);
  const brotli = { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } };
  const [gzipped, br] = await Promise.all([promisify(gzip)(bytes, { level: 9 }), promisify(brotliCompress)(bytes, brotli)]);
  const bodies = { identity: new Uint8Array(bytes), gzip: new Uint8Array(gzipped), br: new Uint8Array(br) };
  return { name, path: `/static/${stem}-${hash}.${suffix}`, asset: { type: types[suffix], tag: `"${hash}"`, bodies } };
}

async function compile(): Promise<{ name: AssetName; bytes: Uint8Array }[]> {
  const files = await bundleSources({
    absWorkingDir: sources,
    entryPoints: {
      croft: 'islands/croft.ts',
      log: 'islands/log.ts',
      terminal: 'islands/terminal.ts',
      'style/croft': 'design/croft.css',
      'style/terminal': 'design/terminal.css',
    },
    outdir: 'out',
    write: false,
    minify: true,
    format: 'iife',
    target: ['es2023', 'chrome123', 'firefox120', 'safari17.5'],
  });
  return files.map(({ path, contents }) => ({ name: path.slice(path.lastIndexOf('/') + 1) as AssetName, bytes: contents }));
}
