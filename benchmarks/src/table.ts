/** The measurements as a table for people: medians, p90 and the ratio to the peer of the same run. */
import { lowIsGood, type Measurement } from './row.ts';
import { median, reachedByNinety } from './samples.ts';

const heads = ['what', 'n', 'median', 'p90', 'goal', '', 'peer', 'ratio'];

export function table(measurements: readonly Measurement[]): string {
  const rows = [heads, ...measurements.map(cells)];
  const widths = heads.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 || column >= 5 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ');
  return rows.map((row) => `  ${line(row).trimEnd()}\n`).join('');
}

function cells({ what, unit, samples, goal, peer }: Measurement): string[] {
  const low = lowIsGood(unit);
  const middle = median(samples);
  const shown = (value: number): string => `${number(value)} ${unit}`;
  const reached = goal === undefined ? '' : (low ? middle <= goal : middle >= goal) ? 'reached' : 'missed';
  return [
    what,
    String(samples.length),
    shown(middle),
    shown(reachedByNinety(samples, low)),
    goal === undefined ? '' : `${low ? '≤' : '≥'} ${shown(goal)}`,
    reached,
    peer ? `${shown(median(peer.samples))} ${peer.what}` : '',
    peer ? `${number(middle / median(peer.samples))}×` : '',
  ];
}

function number(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
