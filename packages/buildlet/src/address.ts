/** Where a buildlet is reached; plain data, so that it can be stored with its machine. */
export interface BuildletAddress {
  /** A Unix socket, else `host` and `port`. */
  readonly socketPath?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly password: string;
}

/** For messages; never the password. */
export function shownAddress({ socketPath, host, port }: BuildletAddress): string {
  return socketPath ?? `${host ?? '127.0.0.1'}:${port ?? 80}`;
}
