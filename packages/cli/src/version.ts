/** What `--version` tells: the release, and which file it is where a program is one, by the first digits of its line in SHA256SUMS. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { sha256Hex } from '@croft/runtime/digest';
import { release } from '@croft/runtime/release';

const digits = 12;

/** @param url of the program's own code */
export function versionOf(url: string): string {
  if (url.endsWith('.ts')) return release;
  return `${release}-${sha256Hex(readFileSync(fileURLToPath(url))).slice(0, digits)}`;
}
