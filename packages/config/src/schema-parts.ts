/** Small schemas of which the larger ones are made. */
import * as z from 'zod';

/** What a command can be given: the kernel ends a text at NUL. */
export const text = z.string().regex(/^[^\0]*$/, 'holds a NUL');
export const variable = z.string().regex(/^(?!CROFT_|META_)[A-Za-z_][A-Za-z0-9_]*$/, 'is not a name a job may set');
export const env = z.record(variable, text);
export const label = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'is not a label: letters, digits, dots, dashes and underscores');
/** Label of machines that keep what they run away from everything else. */
export const isolatedLabel = 'isolated-container';
/** What machines may be said to have; what they are for what runs there, their pool alone says. */
export const machineLabels = z.array(label.refine((name) => name !== isolatedLabel, 'is for Croft alone to give: to pools of kind docker'));
export const labels = z.array(label).default([]);
