/** The address of the farm, with the machines one looks for, and what operators do about machines. */
import type { Hono } from 'hono';
import { parseMachineId } from '@croft/domain/names';
import type { Farm, MachineList } from '@croft/protocol/api';
import { machineWhySchema } from '@croft/protocol/machines';
import { operations } from '@croft/protocol/operations';
import type { Clock } from '@croft/runtime/clock';
import { readForm, parseInput } from '@croft/web/body';
import type { Page } from '@croft/web/html/document';
import { hasRole, requireRole } from '@croft/web/identity';
import type { AppContext, AppEnv } from '../routes/context.ts';
import { farmFragment, farmPage, type FarmView } from './farm-page.ts';
import { isWhole, machinesSchema, shownMachines, total, type MachinesShown } from './machine-list.ts';

export interface FarmRoutes {
  readonly clock: Clock;
  /** The whole page, or to htmx the body alone. */
  readonly show: (c: AppContext, page: Page) => Promise<Response>;
}

const verbs = ['drain', 'undrain', 'lose'] as const;

export function mountFarm(app: Hono<AppEnv>, deps: FarmRoutes): void {
  app.get('/farm', async (c) => {
    const view = await viewOf(c, deps.clock, new URL(c.req.url));
    const isPart = c.req.header('HX-Request') === 'true';
    return deps.show(c, { title: 'Farm', place: 'farm', live: true, body: isPart ? farmFragment(view) : farmPage(view) });
  });

  for (const verb of verbs) {
    app.post(`/farm/machines/:machine/${verb}`, async (c) => {
      await tend(c, verb);
      const from = c.req.header('HX-Current-URL');
      if (c.req.header('HX-Request') !== 'true') return c.redirect('/farm', 303);
      const view = await viewOf(c, deps.clock, URL.parse(from ?? '') ?? new URL(c.req.url));
      return deps.show(c, { title: 'Farm', place: 'farm', body: farmFragment(view) });
    });
  }
}

/** @param at whose query says which machines */
async function viewOf({ var: { who, capabilities } }: AppContext, clock: Clock, at: URL): Promise<FarmView> {
  const filter = parseInput(machinesSchema, Object.fromEntries(at.searchParams), 'the query');
  const farm = await capabilities.farm();
  const list = isWhole(filter) ? firstOf(farm) : await capabilities.machineList(filterOf(filter));
  const mayConfigure = hasRole(who, operations['config.get'].role) && who.repos.length === 0;
  return { farm, list, filter, mayConfigure, mayTend: mayConfigure, now: clock.now() };
}

/** What is asked for most is in the farm's own answer already. */
function firstOf({ machines, machineCounts: counts }: Farm): MachineList {
  return { machines: machines.slice(0, shownMachines), found: total(counts), counts };
}

function filterOf({ find, state, page }: MachinesShown): Parameters<AppContext['var']['capabilities']['machineList']>[0] {
  return { find, state, limit: shownMachines, skip: page * shownMachines };
}

async function tend(c: AppContext, verb: (typeof verbs)[number]): Promise<void> {
  const { who, capabilities } = c.var;
  requireRole(who, operations[`machine.${verb}`].role);
  const id = parseMachineId(c.req.param('machine') ?? '');
  if (verb === 'undrain') return void (await capabilities.machines.undrain(id));
  const { why } = parseInput(machineWhySchema, Object.fromEntries(await readForm(c.req.raw)), 'the form');
  if (verb === 'drain') await capabilities.machines.drain(id, who.name, why);
  else await capabilities.machines.lose(id, { by: who.name, why }, { signal: c.req.raw.signal });
}
