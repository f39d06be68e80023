/** The files of a session's machine: shown, and fetched as downloads that go through in constant memory. */
import type { Hono } from 'hono';
import { operations } from '@croft/protocol/operations';
import type { SessionView } from '@croft/protocol/sessions';
import { anySignal, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { bodyOf } from '@croft/web/event-stream';
import type { Page } from '@croft/web/html/document';
import type { Html } from '@croft/web/html/markup';
import { requireRole } from '@croft/web/identity';
import { asDownload } from '../routes/artifacts.ts';
import type { AppContext, AppEnv } from '../routes/context.ts';
import { listFiles, openArchive, openFile, type Directory } from '../sessions/session-files.ts';
import type { Entered } from '../sessions/sessions.ts';
import { filesFragment } from './session-files-page.ts';

export interface FileRoutes {
  readonly clock: Clock;
  readonly log: Log;
  /** The whole page, or to htmx the body alone. */
  readonly show: (c: AppContext, page: Page) => Promise<Response>;
}

const listMs = 10 * SECOND;

export function mountSessionFiles(app: Hono<AppEnv>, { clock, log, show }: FileRoutes): void {
  app.get('/sessions/:session/files', async (c) => {
    const session = await c.var.capabilities.sessions.get(c.var.who, c.req.param('session'));
    const dir = c.req.query('dir') ?? '';
    if (c.req.header('HX-Request') !== 'true') return c.redirect(`${session.url}?${new URLSearchParams({ dir }).toString()}#files`, 303);
    using entered = await enter(c);
    return show(c, { title: '', place: 'sessions', body: await showFiles(entered, dir, clock) });
  });

  app.get('/sessions/:session/files/raw', async (c) => {
    const path = c.req.query('path') ?? '';
    const entered = await enter(c);
    try {
      const { bytes, content } = await openFile(entered, path, { signal: anySignal(c.req.raw.signal, entered.ended) });
      const headers = { ...asDownload(path.slice(path.lastIndexOf('/') + 1)), 'content-length': String(bytes) };
      return new Response(stream(c, content, entered), { headers });
    } catch (error) {
      entered[Symbol.dispose]();
      throw error;
    }
  });

  app.get('/sessions/:session/files/archive', async (c) => {
    const dir = c.req.query('dir') ?? '';
    const entered = await enter(c);
    try {
      const pieces = await openArchive(entered, dir, { signal: anySignal(c.req.raw.signal, entered.ended) });
      const name = `${entered.session.alias}${dir === '' ? '' : `-${dir.replaceAll('/', '-')}`}.tar.gz`;
      return new Response(stream(c, pieces, entered), { headers: asDownload(name) });
    } catch (error) {
      entered[Symbol.dispose]();
      throw error;
    }
  });

  /** The session is used until the last byte has gone, or its reader. */
  function stream(c: AppContext, pieces: AsyncIterable<Buffer>, entered: Entered): ReadableStream<Uint8Array> {
    async function* whole(): AsyncGenerator<Buffer> {
      using _ = entered;
      for await (const piece of pieces) yield Buffer.from(piece);
    }
    return bodyOf(whole, { request: c.req.raw, connection: c.env.connection, clock, log });
  }
}

/** @throws CroftError `forbidden`, `not-found`, `conflict` */
async function enter(c: AppContext): Promise<Entered> {
  requireRole(c.var.who, operations['session.terminal'].role);
  return c.var.capabilities.sessions.enter(c.var.who, c.req.param('session') ?? '');
}

/** What is wrong with one directory is no reason to show nothing else of the page. */
export async function showFiles(entered: Entered & { readonly session: SessionView }, dir: string, clock: Clock): Promise<Html> {
  const signal = anySignal(clock.deadline(listMs), entered.ended);
  const directory = await listFiles(entered, dir, { clock, signal }).catch((error: unknown): { trouble: string } | Directory => {
    if (error instanceof CroftError) return { trouble: error.message };
    throw error;
  });
  return filesFragment({ session: entered.session, dir, directory, now: clock.now() });
}
