#!/usr/bin/env node
/** The `gomote` command as people install it: one file, which the farm bundles and serves. @see docs/protocols/distribution.md */
import { startCli } from '@croft/cli/start';
import { runCli } from './cli.ts';

void startCli(runCli);
