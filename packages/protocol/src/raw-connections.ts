/** What is said about connections that carry other bytes than HTTP. @see docs/protocols/runs.md#raw-connections */
import * as z from 'zod';

/** What a request for one asks to be upgraded to, and its 101 says. */
export const rawProtocol = 'croft-raw';

export const listenPlaceSchema = z.union([
  z.object({ port: z.number().int().min(1).max(65_535) }),
  z.object({ path: z.string().min(1).max(200) }),
]);
/** A port of the machine's loopback, or a Unix socket. */
export type ListenPlace = z.infer<typeof listenPlaceSchema>;

/** A line on a listener's control connection: somebody has connected, and waits under this name to be picked up. */
export const arrivalSchema = z.object({ connection: z.string().regex(/^[0-9a-f]{16}$/) });
