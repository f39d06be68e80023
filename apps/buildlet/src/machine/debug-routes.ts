/** What helps to find out what ails a machine: a body of any size for its network, and a look inside the program. buildlet.md 1.4. */
import { memoryUsage, resourceUsage, uptime, version } from 'node:process';
import { text, type Answer } from '../http/answer.ts';
import type { Route } from '../http/router.ts';
import { buildletVersion, goPlatform } from './platform.ts';

const maxX = 1024 * 1024;

export function debugRoutes(facts: () => Readonly<Record<string, unknown>>): Record<string, Route> {
  return {
    '/debug/x': { style: 'text', open: true, handle: async ({ query }) => text('X'.repeat(countOf(query.get('n')))) },
    '/debug/goroutines': { style: 'text', handle: async () => diagnosis(facts()) },
  };
}

/** As Go reads a number; what is none, or below 0, is 0. */
function countOf(asked: string | null): number {
  const count = /^[+-]?\d+$/.test(asked ?? '') ? Number(asked) : 0;
  return Math.min(Math.max(count, 0), maxX);
}

/** No environment, no arguments and no addresses: whoever reads it may be a build. */
function diagnosis(facts: Readonly<Record<string, unknown>>): Answer {
  const busy = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) busy.set(kind, (busy.get(kind) ?? 0) + 1);
  const { userCPUTime, systemCPUTime, maxRSS, fsRead, fsWrite } = resourceUsage();
  const about = {
    buildlet: `${buildletVersion} ${goPlatform()}, Node ${version}`,
    upSeconds: Math.round(uptime()),
    memory: memoryUsage(),
    used: { userCPUTime, systemCPUTime, maxRSS, fsRead, fsWrite },
    waitsFor: Object.fromEntries([...busy].toSorted(([a], [b]) => a.localeCompare(b))),
    ...facts,
  };
  return text(
    Object.entries(about)
      .map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}\n`)
      .join(''),
  );
}
