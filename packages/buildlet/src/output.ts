/** Follows a run's output. The body of an unfinished answer is an error, so what ends without one is complete. */
import type { Waits } from '@croft/runtime/clock';
import { asCroftError } from '@croft/runtime/errors';
import type { Http } from './http.ts';

export async function* followOutput(http: Http, path: string, { signal }: Waits): AsyncGenerator<Buffer> {
  const answer = await http.open({ method: 'GET', path }, { signal });
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) yield chunk;
  } catch (error) {
    signal?.throwIfAborted();
    throw asCroftError(error, 'unavailable', 'following the output of a run');
  } finally {
    answer.destroy();
  }
}
