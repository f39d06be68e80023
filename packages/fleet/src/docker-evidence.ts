/** Why a container is not running, in one sentence. */
import type { ContainerEnd } from './docker-daemon.ts';

const saidChars = 400;

export function explainEnd({ exitCode, outOfMemory, error, said }: ContainerEnd): string {
  const words = said === '' ? '' : `; the last it said: ${tellingPart(said)}`;
  if (error !== '') return `its container could not be started: ${error}${words}`;
  if (outOfMemory) return `its container ran out of memory and was killed (exit code ${exitCode})${words}`;
  const signal = exitCode > 128 && exitCode < 128 + 65 ? `, signal ${exitCode - 128}` : '';
  return `its container ended with exit code ${exitCode}${signal}${words}`;
}

/** From the line on that names an error: what follows it is mostly where that happened. */
function tellingPart(said: string): string {
  const at = said.search(/^.*(?:error|cannot|fail)/im);
  const text = said.slice(Math.max(at, 0)).replaceAll(/\s+/g, ' ').trim();
  return at < 0 ? text.slice(-saidChars) : text.slice(0, saidChars);
}
