#!/usr/bin/env node
/** The `croft` command. */
import { keepCompiled } from '@croft/runtime/compile-cache';

keepCompiled();
const [{ startCli }, { runCli }] = await Promise.all([import('@croft/cli/start'), import('./cli.ts')]);
await startCli(runCli);
