/**
 * The control line to the coordinator: registered, kept, and dialled again when it is lost. What runs goes on meanwhile: nothing is wiped
 * between two lines. buildlet.md 1.15, docs/protocols/revdial.md.
 */
import type { Duplex } from 'node:stream';
import { anySignal, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { backoffMs, type Random } from '@croft/runtime/random';
import { createTaskGroup, type Bell } from '@croft/runtime/tasks';
import { openListener } from '@croft/streams/revdial-listener';
import { requestSwitch, type SwitchAnswer } from '@croft/streams/revdial-switch';
import { messages } from '../events.ts';
import { buildletVersion } from '../machine/platform.ts';
import type { ReverseSettings } from '../settings/coordinator.ts';

export interface LineDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Of this start of the buildlet. */
  readonly boot: string;
  /** How often the coordinator is taken for alive while a line stands, ms. */
  readonly signOfLifeMs: number;
  /** A fresh connection to the coordinator. */
  dial(waits: { signal: AbortSignal }): Promise<Duplex>;
  /** A connection that the coordinator asked for, on which it speaks HTTP. */
  serve(socket: Duplex): void;
  heard(): void;
  /** The coordinator has taken a line. */
  opened(): void;
  /** Rung when the status has changed in a way that the coordinator waits for. */
  readonly news: Bell;
  /** What `/status` tells under `Croft`, or near enough. */
  status(): Promise<unknown>;
  /** Once it is about to end no other line is dialled. */
  isEnding(): boolean;
}

const answerMs = 30 * SECOND;
/** A line that stood this long was no accident of the start: the next one is dialled soon. */
const steadyMs = 10 * SECOND;
const lost = { minMs: 200, maxMs: 5 * SECOND };
/** Who was refused is refused again most of the time. */
const refused = { minMs: 200, maxMs: 60 * SECOND };
const agent = { 'User-Agent': 'Go-http-client/1.1' };

/** Resolves when the line was lost and none is to follow. @throws CroftError `unavailable` when there was none and none is to be tried */
export async function keepLine(settings: ReverseSettings, deps: LineDeps, { signal }: { signal: AbortSignal }): Promise<void> {
  const { clock, random, log } = deps;
  for (let tries = 0; ; tries += 1) {
    const from = clock.monotonic();
    let pauses = lost;
    try {
      const why = await holdLine(settings, deps, { signal });
      log.warn(messages.lineLost, { why: errorText(why) });
      if (!settings.reconnect || deps.isEnding()) return;
      if (clock.monotonic() - from >= steadyMs) tries = 0;
    } catch (error) {
      signal.throwIfAborted();
      if (!settings.reconnect) throw error;
      const status = error instanceof CroftError ? error.fields['status'] : undefined;
      if (status !== undefined) pauses = refused;
      log.warn(messages.lineFailed, { error: errorText(error), status });
    }
    await clock.sleep(backoffMs(tries, random, pauses), { signal });
    if (deps.isEnding()) return;
  }
}

/** Resolves with what ended the line. */
async function holdLine(settings: ReverseSettings, deps: LineDeps, { signal }: { signal: AbortSignal }): Promise<unknown> {
  const { clock, log } = deps;
  let status = await deps.status();
  const { socket, answer } = await switchedTo('/reverse', registration(settings, deps.boot), deps, signal);
  const peer = answer.get('croft-revdial') === '1' ? 'croft' : 'go';
  await using listener = openListener(socket, {
    peer,
    clock,
    dial: async (path, waits) => (await switchedTo(path, agent, deps, waits.signal)).socket,
    status: () => status,
  });
  deps.opened();
  log.info(messages.lineOpened, { coordinator: settings.coordinator, peer });
  await using tasks = createTaskGroup((name, error) => log.error(messages.taskFailed, { task: name, error: errorText(error) }));
  tasks.start('take the line for a sign of life', async (waits) => {
    for (;;) {
      deps.heard();
      const isNews = await rungWithin(deps, waits);
      status = await deps.status();
      if (isNews) listener.tell();
    }
  });
  for (;;) {
    let connection: Duplex;
    try {
      connection = await listener.accept({ signal });
    } catch (error) {
      signal.throwIfAborted();
      return error;
    }
    deps.serve(connection);
  }
}

/** True when it rang before it was time for a sign of life. */
async function rungWithin({ news, signOfLifeMs, clock }: LineDeps, { signal }: { signal: AbortSignal }): Promise<boolean> {
  const over = new AbortController();
  const either = { signal: anySignal(signal, over.signal) };
  const rung = news.wait(either).then(
    () => true,
    () => false,
  );
  const slept = clock.sleep(signOfLifeMs, either).then(
    () => false,
    () => false,
  );
  const isNews = await Promise.race([rung, slept]);
  over.abort();
  signal.throwIfAborted();
  return isNews;
}

async function switchedTo(
  path: string,
  headers: Readonly<Record<string, string>>,
  { clock, dial }: LineDeps,
  signal: AbortSignal,
): Promise<{ socket: Duplex; answer: SwitchAnswer }> {
  const socket = await dial({ signal });
  const answer = await requestSwitch(socket, { path, headers }, { signal: anySignal(signal, clock.deadline(answerMs)) });
  return { socket, answer };
}

/** The bytes of Go's buildlet, and one header that its coordinator does not know. */
function registration({ hostName, key, hostType }: ReverseSettings, boot: string): Record<string, string> {
  return {
    ...agent,
    'X-Go-Builder-Hostname': hostName,
    'X-Go-Builder-Key': key.reveal(),
    'X-Go-Builder-Version': String(buildletVersion),
    'X-Go-Host-Type': hostType,
    'X-Revdial-Version': '2',
    'Croft-Boot': boot,
  };
}
