/** Files that builds left behind, as downloads. Whoever wrote them is not trusted: nothing in them is shown or run as of this server. */
import type { Hono } from 'hono';
import type { BuildId } from '@croft/domain/names';
import { operations } from '@croft/protocol/operations';
import type { Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import { requireRole } from '@croft/web/identity';
import type { AppEnv } from './context.ts';
import { checkParams, routePath } from './perform.ts';
import { answerBytes } from './stored-bytes.ts';

export function mountArtifacts(app: Hono<AppEnv>, deps: { clock: Clock; log: Log }): void {
  const { path: address, role, answer } = operations['artifact.get'];
  app.get(routePath(address), async (c) => {
    requireRole(c.var.who, role);
    const { build, attempt, artifact, path } = checkParams(c.req.param()) as Record<'build' | 'attempt' | 'artifact' | 'path', string>;
    const { bytes, sha256, read } = await c.var.capabilities.artifactFile(build as BuildId, { attempt: Number(attempt), artifact, path });
    const headers = new Headers({
      ...asDownload(path.slice(path.lastIndexOf('/') + 1)),
      'content-type': answer,
      'cache-control': 'private, no-cache',
    });
    const streaming = { request: c.req.raw, connection: c.env.connection, ...deps };
    return answerBytes(c, { what: 'the file', length: bytes, tag: `"${sha256}"`, headers, read }, streaming);
  });
}

/** Whoever wrote it, it is never shown or run as of this server. */
export function asDownload(name: string): Record<string, string> {
  return {
    'content-type': 'application/octet-stream',
    'content-disposition': disposition(name),
    'content-security-policy': "sandbox; default-src 'none'; frame-ancestors 'none'",
    'x-content-type-options': 'nosniff',
    'cache-control': 'private, no-store',
  };
}

/** RFC 6266: the name itself for programs that know `filename*`, what is left of it in ASCII for the others. */
function disposition(name: string): string {
  const plain = name.replaceAll(/[^\w .+-]/g, '_');
  const encoded = encodeURIComponent(name).replaceAll(/['()*!]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
