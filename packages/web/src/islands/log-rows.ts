/** A line of a log as DOM. Text is only ever set as text. */
import { plainStyle, renderLine, type Colour, type Run, type Style } from './ansi.ts';
import { blockLines } from './log-store.ts';
import type { LogLine } from './log-lines.ts';
import { formatBytes } from '../html/format.ts';

/** Rows of one block, in order; colours go on from line to line within it. */
export function renderBlock(index: number, lines: readonly LogLine[]): HTMLElement {
  const block = document.createElement('div');
  block.className = 'block';
  block.dataset['index'] = String(index);
  appendRows(block, lines, plainStyle);
  return block;
}

/** Renders the lines from `from` on again or for the first time: what a live log adds. */
export function updateBlock(block: HTMLElement, lines: readonly LogLine[], from: number): void {
  const index = Number(block.dataset['index']);
  const first = Math.max(0, Math.min(from - index * blockLines, block.childElementCount));
  const style = styles.get(block.children[first - 1] as Element) ?? plainStyle;
  while (block.childElementCount > first) block.lastElementChild?.remove();
  appendRows(block, lines, style);
}

/** The style in which a row ended. */
const styles = new WeakMap<Element, Style>();

function appendRows(block: HTMLElement, lines: readonly LogLine[], from: Style): void {
  let style = from;
  const rows = document.createDocumentFragment();
  for (let at = block.childElementCount; at < lines.length; at += 1) {
    const line = lines[at] as LogLine;
    const rendered = renderLine(line.text, style);
    style = rendered.style;
    const row = renderRow(Number(block.dataset['index']) * blockLines + at + 1, rendered.runs, line.cut);
    styles.set(row, style);
    rows.append(row);
  }
  block.append(rows);
}

/** @param number from 1 */
function renderRow(number: number, runs: readonly Run[], cut: number): HTMLElement {
  const row = document.createElement('div');
  row.className = 'row';
  row.id = `L${number}`;
  const anchor = document.createElement('a');
  anchor.href = `#L${number}`;
  anchor.tabIndex = -1;
  anchor.textContent = String(number);
  const text = document.createElement('span');
  text.append(...runs.map(renderRun));
  if (cut > 0) text.append(cutMark(cut));
  row.append(anchor, text);
  return row;
}

function cutMark(cut: number): HTMLElement {
  const mark = document.createElement('em');
  mark.textContent = ` … ${formatBytes(cut)} more in this line, see the raw log`;
  return mark;
}

function renderRun({ text, style }: Run): Node {
  if (style === plainStyle || Object.keys(style).length === 0) return document.createTextNode(text);
  const element = document.createElement('span');
  element.textContent = text;
  for (const name of ['bold', 'dim', 'italic', 'underline', 'strike'] as const) if (style[name]) element.classList.add(name);
  if (style.inverse) {
    if (style.bg === undefined) element.classList.add('fg-inverse');
    if (style.fg === undefined) element.classList.add('bg-inverse');
    paint(element, style.bg, style.fg);
  } else paint(element, style.fg, style.bg);
  return element;
}

/** The 16 named colours are tokens of the stylesheet; others are made readable on both themes' backgrounds. */
function paint(element: HTMLElement, fg: Colour | undefined, bg: Colour | undefined): void {
  if (typeof fg === 'number' && fg < 16) element.classList.add(`fg${fg}`);
  else if (fg !== undefined) {
    const colour = hex(fg);
    element.style.color = bg === undefined ? `light-dark(${readable(colour, 'light')}, ${readable(colour, 'dark')})` : colour;
  }
  if (typeof bg === 'number' && bg < 16) element.classList.add(`bg${bg}`);
  else if (bg !== undefined) {
    element.style.backgroundColor = hex(bg);
    if (fg === undefined) element.style.color = luminance(hex(bg)) > 0.18 ? '#000' : '#fff';
  }
}

/** Palette entries 16 to 255: a 6 × 6 × 6 cube and 24 greys. */
export function hex(colour: Colour): string {
  if (typeof colour === 'string') return colour;
  if (colour >= 232) return triple([8 + (colour - 232) * 10, 8 + (colour - 232) * 10, 8 + (colour - 232) * 10]);
  const cube = [0, 95, 135, 175, 215, 255];
  const index = Math.max(0, colour - 16);
  return triple([Math.floor(index / 36) % 6, Math.floor(index / 6) % 6, index % 6].map((level) => cube[level] ?? 0));
}

/** The colour, mixed with white or black until it stands out 4.5 : 1 from the log's background. */
export function readable(colour: string, theme: 'light' | 'dark'): string {
  const [background, towards] = theme === 'light' ? [0.94, 0] : [0.007, 255];
  let channels = parse(colour);
  for (let tries = 0; tries < 20 && contrast(luminance(triple(channels)), background) < 4.5; tries += 1) {
    channels = channels.map((value) => Math.round(value + (towards - value) * 0.15));
  }
  return triple(channels);
}

function contrast(a: number, b: number): number {
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

function luminance(colour: string): number {
  const [r = 0, g = 0, b = 0] = parse(colour).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function parse(colour: string): number[] {
  return [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
}

function triple(channels: number[]): string {
  return `#${channels.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
}
