/** Durations and sizes as people write them. */
import * as z from 'zod';
import { DAY, HOUR, MINUTE, SECOND } from '@croft/runtime/clock';

const durations: Readonly<Record<string, number>> = { ms: 1, s: SECOND, m: MINUTE, h: HOUR, d: DAY };
const sizes: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** Milliseconds, at least 1. */
export const durationSchema = quantity(durations, 'a number of ms, or a text like 500ms, 15s, 10m, 2h or 90d').pipe(
  z.number().int('is not a whole number of ms').positive('is not more than 0'),
);

/** Bytes. */
export const sizeSchema = quantity(sizes, 'a number of bytes, or a text like 64kB, 20GB or 4GiB').pipe(
  z.number().int('is not a whole number of bytes').nonnegative('is less than 0'),
);

function quantity(units: Readonly<Record<string, number>>, shape: string) {
  return z.union([z.number(), z.string()], { error: `is not ${shape}` }).transform((given, context): number => {
    if (typeof given === 'number') return given;
    const [, count, unit = ''] = /^(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]{1,3})$/.exec(given) ?? [];
    const times = Object.hasOwn(units, unit) ? units[unit] : undefined;
    if (count !== undefined && times !== undefined) return Math.round(Number(count) * times);
    context.addIssue({ code: 'custom', message: `${JSON.stringify(given.slice(0, 40))} is not ${shape}` });
    return z.NEVER;
  });
}
