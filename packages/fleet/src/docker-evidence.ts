/** Why a container is not running, in one sentence. */
import type { ContainerEnd } from './docker-daemon.ts';

export function explainEnd({ exitCode, outOfMemory, error, said }: ContainerEnd): string {
  const words = said === '' ? '' : `; the last it said: ${said.replaceAll(/\s+/g, ' ')}`;
  if (error !== '') return `its container could not be started: ${error}${words}`;
  if (outOfMemory) return `its container ran out of memory and was killed (exit code ${exitCode})${words}`;
  const signal = exitCode > 128 && exitCode < 128 + 65 ? `, signal ${exitCode - 128}` : '';
  return `its container ended with exit code ${exitCode}${signal}${words}`;
}
