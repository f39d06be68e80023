/** One request to a coordinator and its successful answer. No redirect is followed, so that a token goes nowhere else. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { json } from 'node:stream/consumers';
import { errorBodySchema } from '@croft/protocol/runs';
import { codeOfStatus } from '@croft/protocol/status-codes';
import type { Waits } from '@croft/runtime/clock';
import { CroftError, asCroftError } from '@croft/runtime/errors';
import { request as plainRequest } from '@croft/runtime/node-http';

export interface Asked extends Waits {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** The signal ends the body of the answer as well. @throws CroftError as the server says, `unavailable` when it cannot be reached */
export type Ask = (path: string, asked: Asked) => Promise<IncomingMessage>;

export function createAsk(base: URL, token: string | undefined): Ask {
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return async (path, { method = 'GET', headers, body, signal }) => {
    const doing = `asking ${base.origin}`;
    const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
    let response: IncomingMessage;
    try {
      const request = base.protocol === 'https:' ? (await import('node:https')).request : plainRequest;
      const sent = request(new URL(path, base), {
        method,
        headers: { accept: 'application/json', ...authorization, ...length, ...headers },
        ...(signal && { signal }),
      });
      sent.on('error', () => {}).end(body); // once it was answered, its body tells
      [response] = (await once(sent, 'response')) as [IncomingMessage];
    } catch (error) {
      if (signal?.aborted) throw asCroftError(signal.reason, 'cancelled', doing);
      throw new CroftError('unavailable', `${doing}: it cannot be reached`, {
        cause: error,
        hint: 'Is the farm running, and is this its address?',
      });
    }
    const status = response.statusCode ?? 0;
    if (status < 200 || status > 299) throw await refusal(response, { status, doing });
    return response;
  };
}

async function refusal(response: IncomingMessage, { status, doing }: { status: number; doing: string }): Promise<CroftError> {
  const body = errorBodySchema.safeParse(await json(response).catch(() => undefined));
  if (body.success) return new CroftError(body.data.code, body.data.message, { hint: body.data.hint, fields: { status } });
  const code = status < 400 ? 'unavailable' : codeOfStatus(status);
  return new CroftError(code, `${doing}: it answered ${status}`, { hint: 'Is this the address of a Croft farm?' });
}
