/**
 * `npm run pictures`: takes the pictures of the README and the docs, the grid, a build and a borrowed machine in light and dark, of a real farm
 * on a small project. One of its builds loses its buildlet three times, another one once; the rest happens by itself.
 */
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BuildDetail } from '@croft/protocol/api';
import { MINUTE } from '@croft/runtime/clock';
import { openBrowser, type Browser, type Page } from '@croft/web/html/testing';
import { makeSampleProject, sampleBuilders, sampleName } from './sample-project.ts';
import { shootSession } from './session-picture.ts';
import { foundBuilds, getBuild, listBuilds } from './testing-builds.ts';
import { startFarm, type TestFarm } from './testing.ts';

const pictures = fileURLToPath(new URL('../../docs/pictures/', import.meta.url));
/** Of one picture. */
const largestBytes = 150_000;
/** As people would know it. */
const door = { host: '127.0.0.1', port: 0, publicHost: 'farm.example' };

if (import.meta.main) {
  const dir = await mkdtemp(join(tmpdir(), 'croft-pictures-'));
  try {
    await takePictures(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function takePictures(dir: string): Promise<void> {
  const repo = join(dir, `${sampleName}.git`);
  const commitNewest = await makeSampleProject(repo);
  const config = {
    repos: [{ name: sampleName, url: repo }],
    builders: sampleBuilders,
    pools: [{ kind: 'local' as const, size: 2 }],
    ssh: door,
  };
  await using farm = await startFarm({ config });
  await foundBuilds(farm, 1);
  await killBuildlet(farm, await raceOf(farm, 'race: four threads instead of two'), { attempts: 3 });
  await farm.waitFor('the history built', async () => (await listBuilds(farm)).every(({ state }) => state === 'ended'), {
    deadlineMs: 10 * MINUTE,
  });
  await using browser = await openBrowser();
  for (const file of await shootSession(browser, farm, { dir: pictures, builder: 'linux-race' })) await checkSize(file);
  await commitNewest();
  await farm.api('POST', `/api/v1/repos/${sampleName}/notify`);
  const tip = await raceOf(farm, 'tally: say what a tally is made of');
  await killBuildlet(farm, tip, { attempts: 1 });
  await farm.waitFor('a live log', async () => logLength(await getBuild(farm, tip), 2) > 400);
  await shootAll(browser, farm, tip);
  const states = new Set((await listBuilds(farm)).map(({ state, end }) => end?.kind ?? state));
  for (const state of ['passed', 'failed', 'infra', 'running', 'queued']) {
    if (!states.has(state as never)) throw new Error(`no build was ${state} when the pictures were taken: ${[...states].join(', ')}`);
  }
}

/** The id of the build of that commit on the slowest builder. */
async function raceOf(farm: TestFarm, subject: string): Promise<string> {
  return farm.waitFor(`the race of "${subject}"`, async () => {
    const races = (await listBuilds(farm)).filter(({ builder }) => builder === 'linux-race');
    const details = await Promise.all(races.map(({ id }) => getBuild(farm, id)));
    return details.find(({ commit }) => commit?.subject === subject)?.id;
  });
}

/** Kills the machine's own program in the middle of each of the first attempts. */
async function killBuildlet(farm: TestFarm, build: string, { attempts }: { attempts: number }): Promise<void> {
  for (let number = 1; number <= attempts; number += 1) {
    const lines = async (): Promise<string | undefined> => {
      const detail = await getBuild(farm, build);
      return logLength(detail, number) > 300 ? detail.attemptList[number - 1]?.machine : undefined;
    };
    const machine = await farm.waitFor(`attempt ${number} of ${build}`, lines, { deadlineMs: 5 * MINUTE });
    const { pid } = JSON.parse(await readFile(join(farm.dataDir, 'machines', machine, 'process.json'), 'utf8')) as { pid: number };
    process.kill(pid, 'SIGKILL');
  }
}

function logLength({ attemptList }: BuildDetail, attempt: number): number {
  return attemptList[attempt - 1]?.log.bytes ?? 0;
}

/** All pages are open before the first is taken, so that they show the same moment. */
async function shootAll(browser: Browser, farm: TestFarm, build: string): Promise<void> {
  const shots = await Promise.all(
    (['light', 'dark'] as const).flatMap((colorScheme) => [
      openPage(browser, new URL('/', farm.url), { name: 'grid', height: 748, shows: '×2', colorScheme }),
      openPage(browser, new URL(`/builds/${build}`, farm.url), { name: 'build', height: 690, shows: 'round 8 of', colorScheme }),
    ]),
  );
  for (const { page, file } of shots) {
    await page.screenshot({ path: file });
    await checkSize(file);
  }
}

async function checkSize(file: string): Promise<void> {
  const { size } = await stat(file);
  if (size > largestBytes) throw new Error(`${file} has ${size} bytes, more than ${largestBytes}`);
}

interface Shot {
  readonly name: string;
  readonly height: number;
  /** A text that is there when the page is ready. */
  readonly shows: string;
  readonly colorScheme: 'light' | 'dark';
}

async function openPage(browser: Browser, url: URL, { name, height, shows, colorScheme }: Shot): Promise<{ page: Page; file: string }> {
  const page = await browser.newPage({ colorScheme, viewport: { width: 1_120, height } });
  await page.goto(url.href);
  await page.getByText(shows).first().waitFor();
  return { page, file: join(pictures, `${name}-${colorScheme}.png`) };
}
