/** What all calls of Go's client have in common: the connections, the heartbeats that the first call begins, and what a refusal becomes. */
import type { Duplex } from 'node:stream';
import { buildletStatusSchema, type BuildletStatus } from '@croft/protocol/runs';
import { SECOND, anySignal, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, asCroftError } from '@croft/runtime/errors';
import type { BuildletAddress } from '../address.ts';
import { createExchange, parseJson, refused, type Exchange, type Question, type Reply } from '../exchange.ts';
import { createLife, type Life } from './life.ts';
import { takeOver, type TakeOver } from '../take-over.ts';

const statusMs = 20 * SECOND;
const tunnelMs = 15 * SECOND;
const maxAnswerBytes = 64 * 1024;

export interface Speaking {
  readonly clock: Clock;
  /** The machine, for messages. */
  readonly shown: string;
  /** Headers of every request. */
  readonly standing: Readonly<Record<string, string>>;
  readonly onDead: ((why: CroftError) => void) | undefined;
}

export interface Speaker extends AsyncDisposable {
  readonly exchange: Exchange;
  readonly life: Life;
  /** Begins the heartbeats, and ends with the machine's life. */
  begun(waits: Waits): { signal: AbortSignal };
  ask(question: Question, waits: Waits): Promise<Reply>;
  tell(question: Question, waits: Waits): Promise<void>;
  status(waits: Waits): Promise<BuildletStatus>;
  tunnel(request: TakeOver, waits: Waits): Promise<Duplex>;
}

export function createSpeaker(address: BuildletAddress, { clock, shown, standing, onDead }: Speaking): Speaker {
  const exchange = createExchange(address, clock, standing);
  const life = createLife({ clock, shown, ask: (signal) => status({ signal }), onDead });
  const begun = ({ signal }: Waits): { signal: AbortSignal } => {
    life.begin();
    return { signal: anySignal(signal, life.signal) };
  };
  const ask = async (question: Question, waits: Waits): Promise<Reply> => {
    const reply = await exchange.ask(question, maxAnswerBytes, begun(waits));
    if (reply.status !== 200) throw refused(question.doing, reply);
    return reply;
  };
  const status = async (waits: Waits): Promise<BuildletStatus> => {
    const question: Question = { doing: 'ask for the status', method: 'GET', path: '/status', deadlineMs: statusMs };
    const parsed = buildletStatusSchema.safeParse(parseJson((await ask(question, waits)).text));
    if (parsed.success) return parsed.data;
    throw new CroftError('unavailable', 'ask for the status: the answer is not understood', { cause: parsed.error });
  };
  return {
    exchange,
    life,
    begun,
    ask,
    tell: async (question, waits) => void (await ask(question, waits)),
    status,
    async tunnel(request, { signal }) {
      const limited = begun({ signal: anySignal(signal, clock.deadline(tunnelMs)) }).signal;
      try {
        const stream = await takeOver(address, { ...request, headers: { ...standing, ...request.headers } }, limited);
        stream.allowHalfOpen = false; // with Go the end of either side is the end of both
        return stream;
      } catch (error) {
        throw asCroftError(error, 'unavailable', `${request.method} ${request.path} on ${shown}`);
      }
    },
    async [Symbol.asyncDispose]() {
      await life[Symbol.asyncDispose]();
      exchange[Symbol.dispose]();
    },
  };
}
