/**
 * The line between a terminal in a page and its shell: opened again whenever it breaks, from the byte of output that was the last to come and
 * the byte of input that was the last to be taken, so nothing is shown or typed twice or lost. @see docs/protocols/terminal.md
 */
import type { TerminalNotice, TerminalRequest } from '@croft/protocol/terminal';

type Of<Kind extends TerminalNotice['kind']> = Extract<TerminalNotice, { kind: Kind }>;

/** What of a browser's WebSocket is used. */
export interface Socket {
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(): void;
}

export interface SocketEars {
  onMessage(data: string | ArrayBuffer): void;
  onClose(): void;
}

export interface LineWorld {
  /** @param query behind the address of the terminal */
  connect(query: URLSearchParams, ears: SocketEars): Socket;
  /** Why a line could not be opened, when that is known: trying again is of no use then. */
  refusal(): Promise<string | undefined>;
  /** Calls `task` after `ms`; returns how to call it off. */
  after(ms: number, task: () => void): () => void;
}

export interface LineEars {
  /** `continues`: what is on the screen goes on; otherwise the screen begins anew, with output of before up to `length`. */
  onAttached(notice: Of<'attached'>, continues: boolean): void;
  /** `upTo`: the offset behind these bytes, for `seen`. */
  onOutput(bytes: Uint8Array, upTo: number): void;
  onGap(): void;
  onState(state: 'connecting' | 'connected' | 'broken'): void;
  onEnded(exit: Of<'ended'>['exit']): void;
  onRefused(sentences: string): void;
  /** More was typed than is kept while nothing takes it. */
  onFull(): void;
}

const pieceBytes = 16 * 1024;
const untakenBytes = 64 * 1024;
const typedBytes = 4 * 1024 * 1024;
/** Of silence, until the line is taken for dead; the farm says that it is there each 15 s. */
const silenceMs = 40_000;
const firstDelayMs = 300;
const longestDelayMs = 5_000;

export class TerminalLine {
  readonly #world: LineWorld;
  readonly #ears: LineEars;
  readonly #typed: Typed;
  #size: { cols: number; rows: number };
  #run: string | undefined;
  /** Behind the last byte of output that came. */
  #at: number | undefined;
  #socket: Socket | undefined;
  #failures = 0;
  /** It ended, or there is no use in trying. */
  #over = false;
  #callOff = (): void => {};

  constructor(world: LineWorld, ears: LineEars, { run, cols, rows }: { run?: string | undefined; cols: number; rows: number }) {
    this.#world = world;
    this.#ears = ears;
    this.#size = { cols, rows };
    this.#run = run;
    this.#typed = createTyped((piece) => this.#socket?.send(piece));
    this.#connect();
  }

  type(bytes: Uint8Array): void {
    if (!this.#typed.type(bytes)) this.#ears.onFull();
  }

  resize(size: { cols: number; rows: number }): void {
    this.#size = size;
    this.#say({ kind: 'size', cols: size.cols, rows: size.rows });
  }

  seen(upTo: number): void {
    this.#say({ kind: 'seen', upTo });
  }

  /** Ends the shell. */
  hangUp(): void {
    this.#say({ kind: 'hang-up' });
  }

  /** Begins again with another run, or a `new` shell. */
  attach(run: string): void {
    this.#socket?.close();
    this.#typed.forget();
    this.#over = false;
    this.#failures = 0;
    this.#run = run;
    this.#at = undefined;
    this.#connect();
  }

  /** Now, if it is broken. */
  retry(): void {
    if (!this.#socket && !this.#over) this.#connect();
  }

  #connect(): void {
    const query = new URLSearchParams({ cols: String(this.#size.cols), rows: String(this.#size.rows) });
    if (this.#run !== undefined) query.set('run', this.#run);
    if (this.#at !== undefined) query.set('from', String(this.#at));
    let attached = false;
    const socket = this.#world.connect(query, {
      onMessage: (data) => {
        if (this.#socket !== socket) return;
        this.#watch(socket);
        if (typeof data !== 'string') return this.#show(new Uint8Array(data));
        const notice = JSON.parse(data) as TerminalNotice;
        attached ||= notice.kind === 'attached';
        this.#hear(notice);
      },
      onClose: () => {
        if (this.#socket === socket) this.#broken(attached);
      },
    });
    this.#socket = socket;
    this.#ears.onState('connecting');
    this.#watch(socket);
  }

  /** Silence is a dead line. */
  #watch(socket: Socket): void {
    this.#callOff();
    this.#callOff = this.#world.after(silenceMs, () => {
      socket.close();
      if (this.#socket === socket) this.#broken(true);
    });
  }

  #broken(wasAttached: boolean): void {
    this.#letGo();
    this.#ears.onState('broken');
    if (wasAttached) this.#failures = 0;
    this.#callOff = this.#world.after(Math.min(longestDelayMs, firstDelayMs * 2 ** this.#failures), () => this.#connect());
    this.#failures += 1;
    if (!wasAttached) void this.#askWhy();
  }

  async #askWhy(): Promise<void> {
    const why = await this.#world.refusal();
    if (why === undefined || this.#over || this.#socket) return;
    this.#end();
    this.#ears.onRefused(why);
  }

  #hear(notice: TerminalNotice): void {
    switch (notice.kind) {
      case 'attached': {
        const continues = this.#run === notice.run && this.#at === notice.from;
        this.#run = notice.run;
        this.#at = notice.from;
        this.#ears.onAttached(notice, continues);
        return this.#ears.onState('connected');
      }
      case 'taken':
        return this.#typed.taken(notice.upTo);
      case 'gap':
        this.#at = notice.from;
        return this.#ears.onGap();
      case 'ended':
        this.#end();
        return this.#ears.onEnded(notice.exit);
      case 'refused':
        this.#end();
        return this.#ears.onRefused([notice.message, notice.hint].filter(Boolean).join('. '));
      default: // it is there, and that was noted
    }
  }

  #show(bytes: Uint8Array): void {
    this.#at = (this.#at ?? 0) + bytes.length;
    this.#ears.onOutput(bytes, this.#at);
  }

  #say(request: TerminalRequest): void {
    this.#socket?.send(JSON.stringify(request));
  }

  #end(): void {
    this.#over = true;
    this.#socket?.close();
    this.#letGo();
  }

  #letGo(): void {
    this.#callOff();
    this.#socket = undefined;
    this.#typed.hold();
  }
}

interface Typed {
  /** False when there is no room for it. */
  type(bytes: Uint8Array): boolean;
  /** The first after each attaching says where the shell stands, each later one that the oldest piece under way was taken. */
  taken(upTo: number): void;
  /** The line is gone; what was under way counts as untaken until the next `taken`. */
  hold(): void;
  forget(): void;
}

/** What was typed and not taken yet, in order. */
export function createTyped(send: (piece: Uint8Array<ArrayBuffer>) => void): Typed {
  let waiting: Uint8Array[] = [];
  let underWay: Uint8Array[] = [];
  let ready = false;
  let base: number | undefined;
  const bytesOf = (pieces: readonly Uint8Array[]): number => pieces.reduce((sum, { length }) => sum + length, 0);
  const flush = (): void => {
    while (ready && bytesOf(underWay) < untakenBytes) {
      const piece = waiting.shift();
      if (!piece) return;
      underWay.push(piece);
      send(new Uint8Array(piece));
    }
  };
  /** Of what was under way when the line broke, the shell has taken `bytes`. */
  const resume = (bytes: number): void => {
    let left = bytes;
    while (left > 0 && underWay[0]) {
      const whole = underWay[0].length <= left;
      if (whole) left -= underWay.shift()?.length ?? 0;
      else {
        underWay[0] = underWay[0].subarray(left);
        left = 0;
      }
    }
    waiting = [...underWay, ...waiting];
    underWay = [];
  };
  return {
    type(bytes) {
      if (bytesOf(waiting) + bytes.length > typedBytes) return false;
      for (let from = 0; from < bytes.length; from += pieceBytes) waiting.push(bytes.subarray(from, from + pieceBytes));
      flush();
      return true;
    },
    taken(upTo) {
      if (ready) underWay.shift();
      else resume(base === undefined ? 0 : upTo - base);
      ready = true;
      base = upTo;
      flush();
    },
    hold() {
      ready = false;
    },
    forget() {
      [waiting, underWay, ready, base] = [[], [], false, undefined];
    },
  };
}
