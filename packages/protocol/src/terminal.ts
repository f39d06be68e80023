/**
 * What a page and the farm say to each other beside the bytes of a terminal, which are binary messages: output one way, input the
 * other. @see docs/protocols/terminal.md
 */
import * as z from 'zod';
import { errorCodes } from '@croft/runtime/errors';
import { exitSchema, terminalSizeSchema } from './runs.ts';

const offset = z.number().int().nonnegative();

/** Of the page. */
export const terminalRequestSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('size'), ...terminalSizeSchema.shape }),
  /** It has dealt with the output below this offset, and can take more. */
  z.strictObject({ kind: z.literal('seen'), upTo: offset }),
  /** Closes the terminal for good. */
  z.strictObject({ kind: z.literal('hang-up') }),
]);
export type TerminalRequest = z.infer<typeof terminalRequestSchema>;

/** Of the farm. */
export const terminalNoticeSchema = z.discriminatedUnion('kind', [
  /** Output begins at `from`; there were `length` bytes. */
  z.object({ kind: z.literal('attached'), run: z.string(), fresh: z.boolean(), from: offset, length: offset }),
  /** So much of what was typed, by whomever, the run has taken in all. Comes after `attached` by itself. */
  z.object({ kind: z.literal('taken'), upTo: offset }),
  /** Output goes on at `from`: what lay before was not kept. */
  z.object({ kind: z.literal('gap'), from: offset }),
  z.object({ kind: z.literal('ended'), exit: exitSchema }),
  z.object({ kind: z.literal('refused'), code: z.enum(errorCodes), message: z.string(), hint: z.string().optional() }),
  /** Nothing has happened: the line is there. */
  z.object({ kind: z.literal('here') }),
]);
export type TerminalNotice = z.infer<typeof terminalNoticeSchema>;

/** So much output is sent beyond what was seen, at most. */
export const terminalWindowBytes = 256 * 1024;
/** How often the farm says that it is there, ms. */
export const terminalPulseMs = 15_000;

export const terminalQuerySchema = z.object({
  cols: z.coerce.number().pipe(terminalSizeSchema.shape.cols).default(80),
  rows: z.coerce.number().pipe(terminalSizeSchema.shape.rows).default(24),
  run: z.string().max(100).optional(),
  from: z.coerce.number().int().nonnegative().optional(),
});
