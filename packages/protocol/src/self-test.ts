/** What a machine found out about itself before it takes work. @see docs/protocols/buildlet.md#post-selftest */
import * as z from 'zod';

export const maxTools = 50;

/** A program by its name alone. */
export const toolSchema = z
  .string()
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,59}$/, 'is not the name of a program: letters, digits, "_", ".", "+", "-", at most 60');

export const selfTestRequestSchema = z.strictObject({
  /** Programs that commands on this kind of machine find in their PATH. */
  tools: z.array(toolSchema).max(maxTools),
  /** What time the coordinator has, epoch ms. */
  now: z.number().int().optional(),
});
export type SelfTestRequest = z.infer<typeof selfTestRequestSchema>;

export const selfTestSchema = z.object({
  /** Epoch ms of the machine's clock; 0 while the first one is under way. */
  at: z.number().int().nonnegative(),
  checks: z.array(z.object({ name: z.string().max(80), ok: z.boolean(), found: z.string().max(500) })).max(100),
});
export type SelfTest = z.infer<typeof selfTestSchema>;

/** The name of the check of a tool. */
export function toolCheck(tool: string): string {
  return `tool ${tool}`;
}

/** Compared with the coordinator's clock. */
export const clockCheck = 'clock';
