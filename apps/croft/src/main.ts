#!/usr/bin/env node
/** The `croft` command. */
import process from 'node:process';
import { keepCompiled } from '@croft/runtime/compile-cache';

keepCompiled();
const [{ systemClock }, { systemRandom }, { runCli }, { interruption }, { outputTo }] = await Promise.all([
  import('@croft/runtime/clock'),
  import('@croft/runtime/random'),
  import('./cli.ts'),
  import('./interruption.ts'),
  import('./terminal.ts'),
]);
process.exitCode = await runCli(process.argv.slice(2), {
  stdout: outputTo(process.stdout, process.env),
  stderr: outputTo(process.stderr, process.env),
  env: process.env,
  cwd: process.cwd(),
  clock: systemClock,
  random: systemRandom,
  interruption: () => interruption(process),
});
