/** Small schemas of which the larger ones are made. */
import * as z from 'zod';

/** What a command can be given: the kernel ends a text at NUL. */
export const text = z.string().regex(/^[^\0]*$/, 'holds a NUL');
export const variable = z.string().regex(/^(?!CROFT_|META_)[A-Za-z_][A-Za-z0-9_]*$/, 'is not a name a job may set');
export const env = z.record(variable, text);
export const label = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'is not a label: letters, digits, dots, dashes and underscores');
export const labels = z.array(label).default([]);
