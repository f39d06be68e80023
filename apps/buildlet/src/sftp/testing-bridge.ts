/** A program for OpenSSH's `sftp -D`: its stdin and stdout are SFTP of a buildlet, `ADDRESS DIR`. */
import { pipeline } from 'node:stream/promises';
import { createBuildlet, type BuildletAddress } from '@croft/buildlet/client';
import { systemClock } from '@croft/runtime/clock';

const [address = '{}', dir = '.'] = process.argv.slice(2);
await using buildlet = createBuildlet(JSON.parse(address) as BuildletAddress, { clock: systemClock });
const line = await buildlet.sftp({ dir }, 1, {});
await Promise.all([pipeline(process.stdin, line), pipeline(line, process.stdout)]);
