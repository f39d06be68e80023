/** The machines of the farm: how each is, how it is connected, what happens with it next, and what an operator may do about it. */
import { html } from 'hono/html';
import * as z from 'zod';
import type { BuildSummary, Farm, MachineCounts, MachineList, MachineView } from '@croft/protocol/api';
import { formatBytes } from '@croft/web/html/format';
import { bdi, instant, plain, plural, type Html } from '@croft/web/html/markup';
import { badge, lookOfMachine } from '@croft/web/html/state';
import { commitUrl, listPager, listTable as table, pageAddress } from './list-table.ts';

export interface MachineListView {
  readonly list: MachineList;
  readonly filter: MachinesShown;
  /** Whether this reader may take machines out of work. */
  readonly mayTend: boolean;
  readonly now: number;
}

export const machinesSchema = z.object({
  find: z.string().trim().max(200).default(''),
  state: z.union([z.enum(['ready', 'busy', 'away']), z.literal('').transform(() => undefined)]).optional(),
  page: z.coerce.number().int().min(0).max(100_000).default(0),
});
/** Which machines one looks at. */
export type MachinesShown = z.output<typeof machinesSchema>;

/** On one page. */
export const shownMachines = 50;

export function farmUrl({ find, state, page }: MachinesShown): string {
  return pageAddress(listUrl({ find, state }), page);
}

function listUrl({ find, state }: Omit<MachinesShown, 'page'>): string {
  const query = new URLSearchParams({ ...(find === '' ? {} : { find }), ...(state === undefined ? {} : { state }) });
  return query.size === 0 ? '/farm' : `/farm?${query.toString()}`;
}

/** The first page of all of them. */
export function isWhole({ find, state, page }: MachinesShown): boolean {
  return find === '' && state === undefined && page === 0;
}

export function total({ ready, busy, away }: MachineCounts): number {
  return ready + busy + away;
}

export function machineList(view: MachineListView): Html {
  const { list, filter } = view;
  const isAll = isWhole(filter) && total(list.counts) <= shownMachines;
  const found =
    list.machines.length === 0
      ? html`<p class="nothing">No machine is like that. <a href="/farm">All machines</a></p>`
      : machineTable(view);
  return html`${isAll ? '' : finder(view)}${found}${listPager(listUrl(filter), { page: filter.page, total: list.found, size: shownMachines })}`;
}

/** What is typed stays while the page renews itself. */
function finder({ list: { found, counts }, filter: { find, state } }: MachineListView): Html {
  const option = (value: string, text: string): Html =>
    html`<option value="${value}" ${value === (state ?? '') ? html`selected` : ''}>${text}</option>`;
  return html`<form class="borrow" method="get" action="/farm" role="search" aria-label="Machines">
<label>Name, pool, host type or labels <input type="search" name="find" value="${plain(find)}" maxlength="200" autocomplete="off" spellcheck="false" data-key="m" data-key-text="find machines"></label>
<label>State <select name="state">${option('', `any (${total(counts)})`)}${(['ready', 'busy', 'away'] as const).map((one) => option(one, `${one} (${counts[one]})`))}</select></label>
<button>Find</button><span class="found">${found} of ${plural(total(counts), 'machine')}</span>
</form>`;
}

function machineTable({ list, mayTend, now }: MachineListView): Html {
  const rows = list.machines.map((machine) => [
    html`${bdi(machine.id)} <span class="dim">${bdi(machine.pool)} · ${bdi(machine.hostType)}</span>${lineOf(machine, now)}${containerOf(machine)}`,
    machine.state === 'ready' && machine.held !== undefined ? badge('skipped', 'closed') : badge(lookOfMachine(machine), machine.state),
    labelsOf(machine),
    machine.lease ? holder(machine.lease, now) : html`<span class="dim">nothing</span>`,
    html`${instant(machine.createdAt, now)}`,
    html`${instant(machine.seenAt, now)}`,
    machine.freeBytes === undefined ? html`<span class="dim">–</span>` : formatBytes(machine.freeBytes),
    selfTest(machine, now),
    html`${bdi(machine.next)}${machine.evidence ? html` <span class="dim">${bdi(machine.evidence)}</span>` : ''}${machine.note ? html` <strong class="warn">${bdi(machine.note)}</strong>` : ''}${mayTend ? tending(machine) : ''}`,
  ]);
  return table(['Machine', 'State', 'Labels', 'Does', 'Made', 'Last heard', 'Free disk', 'Self-test', 'Next'], rows, 'Machines');
}

/** One that is kept for borrowing says so first: it is no place for builds, however free it looks. */
function labelsOf({ labels, forSessions }: MachineView): Html {
  const kept = forSessions === true ? html`<a class="label kept" href="/sessions" title="It takes no builds">kept for borrowing</a> ` : '';
  return html`${kept}${labels.map((label) => html`<span class="label">${bdi(label)}</span> `)}`;
}

/** Host name, address, time and version of one that dials in. */
function lineOf({ line, version }: MachineView, now: number): Html {
  if (!line) return html``;
  const told = version === undefined ? '' : html`, version ${version}`;
  return html`<br><span class="dim">${bdi(line.host)} from ${bdi(line.from)} since ${instant(line.since, now)}${told}</span>`;
}

/** By which the ledger of leases and the daemon's list are one. */
function containerOf({ container }: MachineView): Html {
  return container === undefined ? html`` : html`<br><span class="dim">container ${bdi(container)}</span>`;
}

/** What it found wrong stands open, the rest behind a click. */
function selfTest({ selfTest: test }: MachineView, now: number): Html {
  if (!test) return html`<span class="dim">–</span>`;
  if (test.at === 0) return html`<span class="dim">under way</span>`;
  const line = ({ name, found }: (typeof test.checks)[number]): Html => html`<li><b>${bdi(name)}</b> ${bdi(found)}</li>`;
  const wrong = test.checks.filter(({ ok }) => !ok);
  const right = test.checks.filter(({ ok }) => ok);
  return html`${wrong.length > 0 ? html`${badge('failed', 'failed')}<ul class="checks">${wrong.map(line)}</ul>` : ''}
<details class="checks"><summary>${plural(right.length, 'check')} passed ${instant(test.at, now)}</summary><ul>${right.map(line)}</ul></details>`;
}

/** Each asks before it acts, without a script too, and is kept as it is while the page renews itself. */
function tending({ id, drained, state }: MachineView): Html {
  const at = `/farm/machines/${encodeURIComponent(id)}`;
  const form = (action: string, text: string, fields: Html): Html =>
    html`<details class="act" id="act-${action}-${id}" data-keep><summary>${text}…</summary>
<form method="post" action="${at}/${action}" hx-post="${at}/${action}" hx-target="#farm" hx-swap="morph">${fields}</form></details>`;
  const why = html`<label>Why? <input name="why" maxlength="500" required autocomplete="off" placeholder="new disk, acts strangely, …"></label>`;
  return html`<div class="acts">${
    drained === true
      ? form('undrain', 'Give it work', html`<button class="primary">Give ${bdi(id)} work again</button>`)
      : form('drain', 'Drain', html`<p>It ends what it does and gets nothing new.</p>${why}<button>Drain ${bdi(id)}</button>`)
  }${state === 'gone' ? '' : form('lose', 'Declare lost', html`<p>What it does runs elsewhere, at once.</p>${why}<button class="danger">Declare ${bdi(id)} lost</button>`)}</div>`;
}

/** What should be there and is not. */
export function missingMachines({ dialIn }: Farm, now: number): Html {
  const rows = dialIn.flatMap(({ pool, missing }) =>
    missing.map(({ host, seenAt, why }) => [bdi(host), bdi(pool), html`${instant(seenAt, now)}`, bdi(why)]),
  );
  const short = dialIn.filter(({ expect, connected }) => connected < expect);
  const told = short.map(
    ({ pool, hostType, expect, connected }) =>
      html`<p><strong class="warn">${plural(expect - connected, 'machine')} missing</strong>: ${connected} of ${expect} of the pool ${bdi(pool)} are connected.</p>
<p class="prose">One that was never here joins by <a href="/dist/install.sh">install.sh</a> with a key of <code>croft key create --host-type ${bdi(hostType)}</code>. The log of its service, <code>croft-buildlet</code>, tells why one that was here stays away.</p>`,
  );
  if (rows.length + told.length === 0) return html``;
  return html`<section>${told}${rows.length === 0 ? '' : table(['Host', 'Pool', 'Last here', 'Why it is not'], rows, 'Machines that were here')}</section>`;
}

/** Whose the machine is, and by which lease. */
function holder({ id, holder: name, epoch, acquiredAt, ...what }: NonNullable<MachineView['lease']>, now: number): Html {
  return html`${holderLink(name, what)}<br><span class="dim">since ${instant(acquiredAt, now)}, <span title="lease">${bdi(id)}</span>, epoch ${epoch}</span>`;
}

/** The build by the name of its builder where it is known, else the holder's id. */
function holderLink(
  name: string,
  { build, builder, repo, revision, session }: Omit<NonNullable<MachineView['lease']>, 'holder' | 'id' | 'epoch' | 'acquiredAt'>,
): Html {
  if (session) return html`<a href="/sessions/${session.id}">${bdi(session.alias)}</a> <span class="dim">of ${bdi(session.owner)}</span>`;
  if (build === undefined) return bdi(name);
  const url = `/builds/${encodeURIComponent(build)}`;
  if (builder !== undefined && repo !== undefined && revision !== undefined) return buildLink({ url, builder, repo, revision });
  return html`<a href="${url}">${bdi(name)}</a>`;
}

export function buildLink(build: Pick<BuildSummary, 'url' | 'builder' | 'repo' | 'revision'>): Html {
  return html`<a href="${build.url}">${bdi(build.builder)}</a> <a class="dim" href="${commitUrl(build)}">${bdi(build.repo)} <code>${build.revision.slice(0, 7)}</code></a>`;
}
