/** What people read of a test run: a line per file while it runs, then every skip, every failure in full, and the counts:
 * where only the end of an output is kept, why it failed is there. */
import type { Failure, FileResult } from './test-result.ts';

/** `ok    12 passed   1.2 s  packages/streams/src/tar.test.ts` */
export function fileLine({ file, passed, failures, skips, elapsedMs }: FileResult): string {
  const word = failures.length > 0 ? 'FAIL' : 'ok  ';
  const extra = [failures.length > 0 ? `${failures.length} failed` : '', skips.length > 0 ? `${skips.length} skipped` : ''].filter(Boolean);
  const counts = [`${passed} passed`.padStart(10), `${(elapsedMs / 1_000).toFixed(1)} s`.padStart(7)].join(' ');
  return `${word} ${counts}  ${file}${extra.length > 0 ? `  (${extra.join(', ')})` : ''}`;
}

/** Everything after the last file; its last line is the plain count. */
export function closingText(results: readonly FileResult[]): string {
  const failed = results.filter((result) => result.failures.length > 0);
  const skips = results.flatMap((result) => result.skips.map((skip) => ({ ...skip, file: result.file })));
  const count = (of: (result: FileResult) => number): number => results.reduce((sum, result) => sum + of(result), 0);
  return [
    ...(skips.length > 0 ? ['\nSkipped:', ...skips.map(({ name, reason, file }) => `  ${name} (${file}): ${reason}`)] : []),
    ...failed.map(failedFile),
    '',
    `${count(({ passed }) => passed)} passed, ${count(({ failures }) => failures.length)} failed, ${count((result) => result.skips.length)} skipped`,
  ].join('\n');
}

function failedFile({ file, failures, output }: FileResult): string {
  const printed = output.trim();
  return ['', ...(printed ? [`What ${file} printed:`, indent(printed, 4)] : []), `FAIL ${file}`, ...failures.map(failureText)].join('\n');
}

function failureText({ name, at, text }: Failure): string {
  return `  ${name}${at ? `  (${at})` : ''}\n${indent(text, 4)}`;
}

function indent(text: string, by: number): string {
  return text.replaceAll(/^(?=.)/gm, ' '.repeat(by));
}
