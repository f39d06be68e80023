/**
 * Bundles sources with esbuild, for browsers and for workers. Its child process ends with the last bundle that is being made, so
 * that it costs no memory afterwards.
 */
import type { BuildOptions, OutputFile } from 'esbuild';

let making = 0;

/** Written to disk; where `write` is false, only returned. @throws esbuild's own error, which names file and line */
export async function bundleSources(options: BuildOptions): Promise<OutputFile[]> {
  const { build, stop } = await import('esbuild');
  making += 1;
  try {
    const { outputFiles } = await build({ logLevel: 'silent', legalComments: 'none', ...options, bundle: true });
    return outputFiles ?? [];
  } finally {
    making -= 1;
    if (making === 0) await stop();
  }
}
