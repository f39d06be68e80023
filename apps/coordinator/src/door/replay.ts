/** The last of what a terminal showed, for one that comes back to it. */

/** What a program asks the terminal, which would answer again, into the shell: who it is, where it stands, which colours it has. */
const questions =
  /\u001b(?:\[[>=?]?\d*(?:;\d+)*[cn]|\[\??\d+\$p|\[>\d*q|\](?:1[0-2]|4;\d+);\?(?:\u0007|\u001b\\)|P[$+]q[^\u001b]*\u001b\\)/g;
const replayBytes = 32 * 1024;

/** Where to read from, to show the last of `output` again. */
export function replayFrom({ from, length }: { readonly from: number; readonly length: number }): number {
  return Math.max(from, length - replayBytes);
}

/** Without the piece of a line at its beginning, where it is not all there was, and without questions. */
export function replayed(content: Buffer, { isWhole }: { readonly isWhole: boolean }): Buffer {
  const lineEnd = isWhole ? -1 : content.indexOf('\n');
  return Buffer.from(
    content
      .subarray(lineEnd + 1)
      .toString('latin1')
      .replaceAll(questions, ''),
    'latin1',
  );
}
