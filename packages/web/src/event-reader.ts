/** Reads server-sent events from a body, whatever the pieces it arrives in. Comments show up as events without a name. */

export interface ReadEvent {
  readonly event: string;
  readonly data: string;
  readonly id: string | undefined;
}

const eventLimitChars = 1_048_576;

/** @throws Error when one event is larger than 1 MiB */
export async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<ReadEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of body) {
    rest += decoder.decode(bytes, { stream: true });
    const blocks = rest.replaceAll('\r\n', '\n').split('\n\n');
    rest = blocks.pop() ?? '';
    if (rest.length > eventLimitChars) throw new Error('an event is too large');
    for (const block of blocks) yield parseBlock(block);
  }
}

function parseBlock(block: string): ReadEvent {
  const fields = new Map<string, string[]>();
  for (const line of block.split('\n')) {
    const [, name = '', value = ''] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    fields.set(name, [...(fields.get(name) ?? []), value]);
  }
  const data = fields.get('data');
  return { event: data ? (fields.get('event')?.at(-1) ?? 'message') : '', data: data?.join('\n') ?? '', id: fields.get('id')?.at(-1) };
}
