/** A build as events, spans and a record, with the originals' field names (coordinator.md REC-1 to REC-4) for tools that gather them. */
import * as z from 'zod';

const what = {
  IsTry: z.boolean(),
  Rev: z.string(),
  Repo: z.string(),
  Builder: z.string(),
  OS: z.string(),
  Arch: z.string(),
};
const time = z.string().meta({ description: 'RFC 3339, whole seconds' });

export const buildRecordsSchema = z.object({
  /** A span begins with its name and ends with `finish_` before it. */
  events: z.array(z.object({ attempt: z.number().int(), at: z.number().int(), event: z.string(), text: z.string() })),
  spans: z.array(
    z.object({
      ...what,
      BuildID: z.string().meta({ description: 'build and attempt' }),
      Event: z.string(),
      Error: z.string(),
      Detail: z.string(),
      StartTime: time,
      EndTime: time,
      Seconds: z.number(),
    }),
  ),
  record: z.object({
    ...what,
    ID: z.string(),
    StartTime: time,
    EndTime: time.optional(),
    Seconds: z.number().optional(),
    Result: z.enum(['', 'ok', 'fail']),
    LogURL: z.string(),
  }),
});
