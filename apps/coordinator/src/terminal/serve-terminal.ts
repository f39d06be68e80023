/**
 * One shell in one page, over one WebSocket. Output is sent no further than a window beyond what the page has dealt with, and input is
 * read no faster than the shell takes it, so neither side can fill the memory. @see docs/protocols/terminal.md
 */
import {
  terminalPulseMs,
  terminalRequestSchema,
  terminalWindowBytes,
  type TerminalNotice,
  type TerminalRequest,
} from '@croft/protocol/terminal';
import type { TerminalSize } from '@croft/protocol/runs';
import { anySignal, SECOND, type Clock } from '@croft/runtime/clock';
import { asCroftError, CroftError, isCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { createBell, createTaskGroup } from '@croft/runtime/tasks';
import type { WebSocket } from '@croft/web/web-socket';
import type { Piece } from '../sessions/runs/follow-output.ts';
import type { Shell } from '../sessions/shell.ts';

export interface TerminalDeps {
  /** Of the output that the page has seen; without it the last of it is shown again. */
  readonly from: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborted when this process stops or the session ends; the reason is told. */
  readonly signal: AbortSignal;
}

/** Shown again to who comes without knowing where it was. */
const replayBytes = 128 * 1024;
/** Typed and not taken. */
const untakenBytes = 128 * 1024;
/** What a message costs beside its bytes. */
const messageCost = 128;
/** Of output, notices and answers to pings together. */
const unreadBytes = 1024 * 1024;
const hangUpMs = 10 * SECOND;
/** An answer to a ping may be this late. */
const lateMs = 3 * terminalPulseMs;
const codes = { ended: 1000, away: 1001, broken: 1008, refused: 4000 } as const;

/** Resolves when the socket is closed, for whatever reason. */
export async function serveTerminal(socket: WebSocket, shell: Shell, deps: TerminalDeps): Promise<void> {
  const { clock, log } = deps;
  const gone = new AbortController();
  socket.once('close', () => gone.abort(new CroftError('cancelled', 'the page is gone')));
  const signal = anySignal(gone.signal, deps.signal);
  const page = pageOf(socket);
  try {
    await using tasks = createTaskGroup((task, error) => {
      log.warn('terminal failed', { task, run: shell.name, error });
      socket.terminate();
    });
    listen(socket, { shell, page, clock, signal });
    socket.resume();
    tasks.start('pulse', () => pulse(socket, page, { clock, signal }));
    await show(shell, page, { ...deps, signal });
    page.tell({ kind: 'ended', exit: await shell.exit({ signal }) });
    socket.close(codes.ended);
  } catch (error) {
    if (!gone.signal.aborted) refuse(socket, error);
  }
}

/** What can be said to a page whose handshake was answered: browsers show it nothing of an answer that refuses. */
export function refuse(socket: WebSocket, error: unknown): void {
  const { code, message, hint } = asCroftError(error, 'internal', 'opening a terminal');
  socket.resume(); // it may not have been listened to yet
  if (code === 'stopped') return socket.close(codes.away, 'the farm starts again');
  socket.send(JSON.stringify({ kind: 'refused', code, message, hint } satisfies TerminalNotice));
  socket.close(codes.refused);
}

/** The other side. */
interface Page {
  /** Whoever does not read even these is cut off. */
  tell(notice: TerminalNotice): void;
  show(bytes: Buffer): void;
  /** What was sent ends there. */
  sent: number;
  /** It says to have dealt with all below. Whether it reads at all shows in what the socket still holds. */
  seen: number;
  /** How much of what was sent may still lie about, whatever it says. */
  readonly unread: () => number;
  /** Some of that has gone, or was dealt with. */
  readonly moved: ReturnType<typeof createBell>;
}

function pageOf(socket: WebSocket): Page {
  const moved = createBell();
  const page: Page = {
    tell(notice) {
      socket.send(JSON.stringify(notice));
      if (socket.bufferedAmount > unreadBytes) socket.terminate();
    },
    show: (bytes) => socket.send(bytes, () => moved.ring()),
    sent: 0,
    seen: 0,
    unread: () => Math.max(page.sent - page.seen, socket.bufferedAmount),
    moved,
  };
  return page;
}

interface Line {
  readonly shell: Shell;
  readonly page: Page;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

async function show(shell: Shell, page: Page, { from, signal }: TerminalDeps): Promise<void> {
  const { output, name: run, isFresh: fresh } = shell;
  const at = Math.min(output.length, Math.max(output.from, from ?? output.length - replayBytes));
  page.sent = page.seen = at;
  page.tell({ kind: 'attached', run, fresh, from: at, length: output.length });
  const room = async (): Promise<void> => {
    while (page.unread() > terminalWindowBytes) await page.moved.wait({ signal });
  };
  const take = (piece: Piece): Promise<void> | undefined => {
    if (piece.from > page.sent) {
      page.tell({ kind: 'gap', from: piece.from });
      page.seen = piece.from;
    }
    page.show(Buffer.from(piece.bytes)); // its memory is used again
    page.sent = piece.from + piece.bytes.length;
    return page.unread() > terminalWindowBytes ? room() : undefined;
  };
  await shell.follow(at, take, { signal });
}

function listen(socket: WebSocket, { shell, page, clock, signal }: Line): void {
  let untaken = 0;
  let isHangingUp = false;
  const resize = oneAtATime((size: TerminalSize) => shell.resize(size, { signal }));
  const type = async (bytes: Buffer): Promise<void> => {
    const cost = bytes.length + messageCost;
    untaken += cost;
    if (untaken > untakenBytes) socket.pause();
    try {
      page.tell({ kind: 'taken', upTo: await shell.write(bytes) });
    } catch (error) {
      if (!signal.aborted && !isCode(error, 'conflict')) refuse(socket, error); // when it has ended, its output says so
    } finally {
      untaken -= cost;
      if (untaken <= untakenBytes) socket.resume();
    }
  };
  const hangUp = async (): Promise<void> => {
    if (isHangingUp) return;
    isHangingUp = true;
    await shell.hangUp({ signal: clock.deadline(hangUpMs) }).catch((error: unknown) => refuse(socket, error));
    isHangingUp = false;
  };
  void type(Buffer.alloc(0)); // tells how much was taken before
  socket.on('message', (data: Buffer, isBinary) => {
    if (isBinary) return void type(data);
    const request = parseRequest(data);
    switch (request?.kind) {
      case 'size':
        return resize(request);
      case 'seen':
        page.seen = Math.min(page.sent, Math.max(page.seen, request.upTo));
        return page.moved.ring();
      case 'hang-up':
        return void hangUp();
      default:
        return socket.close(codes.broken, 'this is not what a terminal says');
    }
  });
}

function parseRequest(data: Buffer): TerminalRequest | undefined {
  try {
    return terminalRequestSchema.parse(JSON.parse(data.toString()));
  } catch {
    return undefined;
  }
}

/** Only the last one that was asked for counts. One that fails is the size it had: the next one will do. */
function oneAtATime<T>(act: (value: T) => Promise<void>): (value: T) => void {
  let next: { readonly value: T } | undefined;
  let acting = false;
  const run = async (): Promise<void> => {
    acting = true;
    while (next) {
      const { value } = next;
      next = undefined;
      await act(value).catch(() => undefined);
    }
    acting = false;
  };
  return (value) => {
    next = { value };
    if (!acting) void run();
  };
}

/** Keeps proxies from closing a silent line, tells the page that it is whole, and ends it when the page does not answer. */
async function pulse(socket: WebSocket, page: Page, { clock, signal }: { clock: Clock; signal: AbortSignal }): Promise<void> {
  let heardAt = clock.monotonic();
  socket.on('pong', () => (heardAt = clock.monotonic()));
  while (!signal.aborted) {
    await clock.sleep(terminalPulseMs, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    if (clock.monotonic() - heardAt > lateMs) return socket.terminate();
    socket.ping();
    page.tell({ kind: 'here' });
  }
}
