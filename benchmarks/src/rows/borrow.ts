/** From asking for a machine of an idle local pool to the first byte of a command on it: of the farm alone, and as two commands of a person. */
import { createBuildlet } from '@croft/buildlet/client';
import { parseRunId } from '@croft/domain/names';
import { MINUTE, SECOND } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { startFarm, type FarmProcess } from '../farm-process.ts';
import { installGomote, type Gomote } from '../installed-gomote.ts';
import type { Bench, Measurement, Row } from '../row.ts';
import { createSampleRepository } from '../sample-repository.ts';

export const borrow: Row = { name: 'borrow', about: 'create on an idle local pool to the first output of a command', run };

const warmUps = 2;
const rounds = 12;
const goalMs = 500;
/** The machine is cleaned, and the farm idle again. */
const restMs = 2 * SECOND;

async function run(bench: Bench): Promise<Measurement[]> {
  const { dir, clock, signal, progress } = bench;
  const repo = await createSampleRepository(dir, signal);
  await using farm = await startFarm({ repo, depth: 1, buildlets: 2, argv: ['true'] }, bench);
  const { installed } = await installGomote(farm, bench);
  const [direct, commands]: [number[], number[]] = [[], []];
  for (let round = 0; round < warmUps + rounds; round += 1) {
    progress(`machine ${round + 1} of ${warmUps + rounds}`);
    await clock.sleep(restMs, { signal });
    const asked = await timeDirect(farm, bench);
    await clock.sleep(restMs, { signal });
    const typed = await timeCommands(installed, bench);
    if (round < warmUps) continue;
    direct.push(asked);
    commands.push(typed);
  }
  return [
    { what: 'asked to first output', unit: 'ms', samples: direct, goal: goalMs },
    { what: '`gomote create`, `gomote run`', unit: 'ms', samples: commands },
  ];
}

async function timeDirect({ client, url }: FarmProcess, { clock, signal }: Bench): Promise<number> {
  const startedAt = clock.monotonic();
  const { id } = await client.call('session.create', { body: { builder: 'bench' }, signal });
  for await (const { state } of client.followSession(id, { signal })) if (state === 'active') break;
  const { hostname, port } = new URL(url);
  const basePath = `/api/v1/sessions/${id}/machine`;
  await using machine = createBuildlet({ host: hostname, port: Number(port), basePath, password: '' }, { clock });
  const run = parseRunId(`${id}.r-${systemRandom.hex(6)}`);
  const spec = { argv: ['echo', 'hello'], dir: '.', env: {}, limitMs: MINUTE, outputLimitBytes: 1_000_000 };
  await machine.startOrAttach(run, spec, 1, { signal });
  for await (const _ of machine.output(run, 0, { signal })) break;
  const elapsedMs = clock.monotonic() - startedAt;
  await client.call('session.end', { params: { session: id }, body: { why: 'measured' }, signal });
  return elapsedMs;
}

async function timeCommands(gomote: Gomote, { clock }: Bench): Promise<number> {
  const startedAt = clock.monotonic();
  const name = (await gomote('create', 'bench')).trim();
  await gomote('run', name, 'echo', 'hello');
  const elapsedMs = clock.monotonic() - startedAt;
  await gomote('destroy', name);
  return elapsedMs;
}
