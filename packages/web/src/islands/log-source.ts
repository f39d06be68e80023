/** Where the log viewer's bytes come from: ranges, line look-ups and the live stream of one attempt's log. */

export interface Place {
  /** The line that begins at `offset`, from 0. */
  readonly line: number;
  readonly offset: number;
  /** Of the whole log at this moment. */
  readonly lines: number;
  readonly bytes: number;
  readonly live: boolean;
}

export interface LogSource {
  /** The line with this number, or the one which holds this byte; the last line when there are fewer. */
  locate(where: { line: number } | { offset: number }): Promise<Place>;
  /** Bytes `[from, to)`, fewer at the end of the log. */
  read(from: number, to: number): Promise<Uint8Array>;
  /** What is written from `from` on. Returns how to stop. */
  follow(from: number, listener: Listener): () => void;
}

export interface Listener {
  onBytes(from: number, bytes: Uint8Array): void;
  onEnd(): void;
}

export interface LogAddress {
  /** Raw bytes; `/events` below it streams. */
  readonly url: string;
  readonly linesUrl: string;
}

export function openLogSource({ url, linesUrl }: LogAddress): LogSource {
  return {
    async locate(where) {
      const [name, value] = Object.entries(where)[0] as [string, number];
      const address = new URL(linesUrl, location.href);
      address.searchParams.set(name, String(value));
      return (await (await get(address, {})).json()) as Place;
    },
    async read(from, to) {
      if (to <= from) return new Uint8Array(0);
      const answer = await get(new URL(url, location.href), { range: `bytes=${from}-${to - 1}` });
      if (answer.status === 416) return new Uint8Array(0);
      const bytes = new Uint8Array(await answer.arrayBuffer());
      return answer.status === 206 ? bytes : bytes.subarray(from, to);
    },
    follow: (from, listener) => follow(`${url}/events?from=${from}`, listener),
  };
}

function follow(url: string, { onBytes, onEnd }: Listener): () => void {
  const source = new EventSource(url);
  const take = ({ data }: MessageEvent<string>): void => {
    const { from, b64 } = JSON.parse(data) as { from: number; b64: string };
    onBytes(
      from,
      Uint8Array.from(atob(b64), (char) => char.charCodeAt(0)),
    );
  };
  source.addEventListener('message', take);
  source.addEventListener('chunk', take);
  source.addEventListener('end', () => {
    source.close();
    onEnd();
  });
  return () => source.close();
}

async function get(url: URL, headers: Record<string, string>): Promise<Response> {
  const answer = await fetch(url, { headers });
  if (!answer.ok && answer.status !== 416) throw new Error(`read the log: ${answer.status} ${(await answer.text()).slice(0, 200)}`);
  return answer;
}
