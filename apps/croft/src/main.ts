#!/usr/bin/env node
/** The `croft` command. */
import process from 'node:process';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { runCli } from './cli.ts';
import { outputTo } from './terminal.ts';

process.exitCode = await runCli(process.argv.slice(2), {
  stdout: outputTo(process.stdout, process.env),
  stderr: outputTo(process.stderr, process.env),
  env: process.env,
  cwd: process.cwd(),
  clock: systemClock,
  random: systemRandom,
});
