/** Writes what machines run, with checksums and manifest, and `gomote` for people, into `dist/` or where `--out` says: `npm run bundle`. */
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createDistribution, createGomote } from '@croft-apps/coordinator/distribution';

const { values } = parseArgs({ options: { out: { type: 'string' } } });
const root = fileURLToPath(new URL('../..', import.meta.url));
const dir = values.out === undefined ? join(root, 'dist') : resolve(values.out);
const [{ manifest }, gomote] = await Promise.all([createDistribution(dir)(), createGomote(dir)()]);
process.stdout.write(`${dir}: version ${manifest.version}\n`);
const files = [...manifest.files, { ...gomote.file, name: `gomote/${gomote.file.name}` }];
for (const { name, size, sha256 } of files) process.stdout.write(`${sha256}  ${name} (${size} bytes)\n`);
