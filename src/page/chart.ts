/**
 * The geometry of the activity chart: what is drawn where, in CSS pixels, from what the server knows of a stretch of
 * time. Pure: the width and the zone are handed in. The curve and the bars share one time axis. The curve does not
 * start at zero, so its axis always bears its sizes; it ends where the data ends, and breaks where runs were missed.
 *
 * A result is never told by colour alone: bars differ in height, a failed one has a dot above it, and the tooltip, the
 * counts and the run log say the same in words.
 */
import type { Activity } from '../http/contract.ts';
import { rangeWords } from './text/activity.ts';
import { count, dayAndMonth, localHour, plural, shortTime, size } from './text/format.ts';

export type Bar = Activity['bars'][number];

/** From the worst to the best, as in the contract. */
const severity: readonly Bar['state'][] = ['failed', 'missed', 'no-s3', 'kept', 'pruned', 'unchanged', 'none'];

const barHeights: Record<Bar['state'], number> = {
  failed: 26,
  missed: 8,
  'no-s3': 20,
  kept: 26,
  pruned: 26,
  unchanged: 14,
  none: 2,
};
const stripHeight = 26;
const curveHeight = 116;
const topSpace = 6;
/** Between the curve and the strip; the dot of a failed bar is in it. */
const stripGap = 14;
const labelSpace = 22;
/** Width of a digit at 11 px, for the room that the size labels take. */
const letterWidth = 6.4;
const labelGap = 8;
/** Runs in a row without a result that break the curve; fewer are bridged. */
const breakAfter = 3;
const hourMs = 3_600_000;
const unitSteps = [1, 2, 2.5, 5, 10];
const hourSteps = [1, 2, 3, 4, 6, 12, 24, 48, 72, 120, 168];
const timeLabelRoom = 70;
const timeLabelsMost = 8;

export interface PlacedBar {
  readonly bar: Bar;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly middle: number;
}

interface Chart {
  readonly width: number;
  readonly height: number;
  /** Where the time axis ends; the size labels are right of it. */
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly sizeMarks: readonly { readonly y: number; readonly label: string }[];
  readonly timeMarks: readonly { readonly x: number; readonly label: string }[];
  readonly curves: readonly { readonly line: string; readonly area: string }[];
  /** The newest size that is known. */
  readonly end: { readonly x: number; readonly y: number } | null;
  readonly bars: readonly PlacedBar[];
}

export function drawChart(activity: Activity, { width, zone }: { width: number; zone: string }): Chart {
  const from = Date.parse(activity.from);
  const to = Math.max(Date.parse(activity.to), from + 1);
  const axis = sizeAxis(activity.sizes.map(({ sizeBytes }) => sizeBytes));
  const widest = Math.max(0, ...axis.marks.map(({ label }) => label.length));
  const right = Math.max(1, width - (widest === 0 ? 0 : widest * letterWidth + labelGap));
  const x = (ms: number) => ((Math.min(Math.max(ms, from), to) - from) / (to - from)) * right;
  const floor = axis.marks.length === 0 ? topSpace : topSpace + curveHeight;
  const y = (bytes: number) => floor - ((bytes - axis.low) / (axis.high - axis.low)) * curveHeight;
  const bottom = floor + stripGap + stripHeight;

  const lines = stretches(activity).map((points) => points.map((point) => ({ x: x(point.at), y: y(point.bytes) })));
  return {
    width,
    height: bottom + labelSpace,
    right,
    top: topSpace,
    bottom,
    sizeMarks: axis.marks.map(({ bytes, label }) => ({ y: y(bytes), label })),
    timeMarks: timeAxis({ from, to, zone, most: Math.min(timeLabelsMost, Math.floor(right / timeLabelRoom)) })
      .map(({ at, label }) => ({ x: x(at), label }))
      .filter((mark) => mark.x > 18 && mark.x < right - 52),
    curves: lines.filter((points) => points.length > 1).map((points) => curve(points, floor)),
    end: lines.at(-1)?.at(-1) ?? null,
    bars: activity.bars.map((bar) => {
      const left = x(Date.parse(bar.from));
      const slot = Math.max(0, x(Date.parse(bar.to)) - left);
      const barWidth = Math.max(1, slot * 0.72);
      const height = barHeights[bar.state];
      return {
        bar,
        x: left + (slot - barWidth) / 2,
        y: bottom - height,
        width: barWidth,
        height,
        middle: left + slot / 2,
      };
    }),
  };
}

/** At most `most` bars: neighbours become one that shows the worst of them. */
export function mergeBars(bars: readonly Bar[], most: number): readonly Bar[] {
  const each = Math.ceil(bars.length / Math.max(1, most));
  if (each <= 1) return bars;
  const merged: Bar[] = [];
  for (let start = 0; start < bars.length; start += each) {
    const group = bars.slice(start, start + each);
    const [first] = group;
    const last = group.at(-1);
    if (first === undefined || last === undefined) break;
    const worst = group.reduce((one, other) =>
      severity.indexOf(other.state) < severity.indexOf(one.state) ? other : one,
    );
    merged.push({ ...worst, from: first.from, to: last.to, runs: group.reduce((sum, { runs }) => sum + runs, 0) });
  }
  return merged;
}

/** The bar whose time is at `x`, or the nearest; -1 where there is none. */
export function barAt(chart: Chart, x: number): number {
  let best = -1;
  let distance = Number.POSITIVE_INFINITY;
  for (const [index, { middle }] of chart.bars.entries()) {
    if (Math.abs(middle - x) >= distance) break;
    best = index;
    distance = Math.abs(middle - x);
  }
  return best;
}

/** "141 good (2 without S3) · 1 failed · 2 missed" */
export function countsText({ counts, bars }: Activity, without = 'S3'): string {
  // A bar that stands for several runs does not tell how many of them lack their copy.
  const single = bars.every(({ state, runs }) => state !== 'no-s3' || runs <= 1);
  const bare = single ? bars.filter(({ state }) => state === 'no-s3').length : 0;
  const parts = [`${count(counts.good)} good${bare > 0 ? ` (${count(bare)} without ${without})` : ''}`];
  if (counts.failed > 0) parts.push(`${count(counts.failed)} failed`);
  if (counts.missed > 0) parts.push(`${count(counts.missed)} missed`);
  return parts.join(' · ');
}

/** The chart as a sentence, for those who do not see it. */
export function chartLabel(activity: Activity): string {
  const sizes = activity.sizes.map(({ sizeBytes }) => sizeBytes);
  const [first] = sizes;
  const last = sizes.at(-1);
  const change =
    first === undefined || last === undefined
      ? ''
      : ` The size went from ${size(first)} to ${size(last)}, at most ${size(Math.max(...sizes))}.`;
  const counts = countsText(activity).replaceAll(' · ', ', ');
  return `Size of the database and result of each run over the last ${rangeWords[activity.range]}: ${counts}.${change} The run log has the same as text.`;
}

interface Point {
  readonly at: number;
  readonly bytes: number;
}

/** The known sizes in unbroken stretches. A run that found nothing changed says that the size before it held. */
function stretches({ sizes, bars }: Activity): readonly (readonly Point[])[] {
  const known = sizes.map(({ at, sizeBytes }): { at: number; bytes: number | null } => ({
    at: Date.parse(at),
    bytes: sizeBytes,
  }));
  for (const bar of bars) if (bar.state === 'unchanged') known.push({ at: middleOf(bar), bytes: null });
  known.sort((one, other) => one.at - other.at);
  const gaps = bars.filter(({ state }) => state === 'missed' || state === 'failed').map(middleOf);

  const found: Point[][] = [];
  let last: Point | undefined;
  for (const { at, bytes } of known) {
    const point: Point | undefined = bytes !== null ? { at, bytes } : last && { at, bytes: last.bytes };
    if (point === undefined) continue;
    const before = last?.at ?? Number.NEGATIVE_INFINITY;
    const isBroken = gaps.filter((gap) => gap > before && gap < at).length >= breakAfter;
    const stretch = found.at(-1);
    if (stretch === undefined || isBroken) found.push([point]);
    else stretch.push(point);
    last = point;
  }
  return found;
}

const middleOf = (bar: Bar): number => (Date.parse(bar.from) + Date.parse(bar.to)) / 2;

function curve(points: readonly { x: number; y: number }[], floor: number): { line: string; area: string } {
  const line = `M${points.map(({ x, y }) => `${short(x)} ${short(y)}`).join('L')}`;
  const [first] = points;
  const last = points.at(-1);
  return { line, area: `${line}L${short(last?.x ?? 0)} ${short(floor)}L${short(first?.x ?? 0)} ${short(floor)}Z` };
}

const short = (value: number): string => String(Number(value.toFixed(1)));

/** Round sizes around all that occur, about four steps, in the unit of the largest. */
function sizeAxis(bytes: readonly number[]): {
  low: number;
  high: number;
  marks: readonly { bytes: number; label: string }[];
} {
  if (bytes.length === 0) return { low: 0, high: 1, marks: [] };
  const least = Math.min(...bytes);
  const most = Math.max(...bytes, 1);
  const power = Math.min(5, Math.floor(Math.log2(most) / 10));
  const unit = 1024 ** power;
  // A page more or less is no mountain: what hardly changes is drawn nearly flat.
  const span = Math.max(most - least, most * 0.02, 1) / unit;
  const rough = span / 4;
  const scale = 10 ** Math.floor(Math.log10(rough));
  const step = (unitSteps.find((candidate) => candidate * scale >= rough * 0.999) ?? 10) * scale;
  const low = Math.floor(least / unit / step + 1e-9) * step;
  const high = Math.max(Math.ceil(most / unit / step - 1e-9) * step, low + step);
  const digits =
    power === 0 ? 0 : Math.min(3, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9) + (isHalf(step) ? 1 : 0)));
  const name = size(unit).replace(/^[\d.]+ /, '');
  const marks = Array.from({ length: Math.round((high - low) / step) + 1 }, (_, index) => {
    const value = low + index * step;
    return { bytes: value * unit, label: `${value.toFixed(digits)} ${name}` };
  });
  return { low: low * unit, high: high * unit, marks };
}

/** 0.25 or 2.5: needs a digit more than 0.2 or 2. */
function isHalf(step: number): boolean {
  const lead = step / 10 ** Math.floor(Math.log10(step) + 1e-9);
  return Math.abs(lead - 2.5) < 0.01;
}

/** Full hours of the zone's wall clock, or days, at equal steps. */
function timeAxis({ from, to, zone, most }: { from: number; to: number; zone: string; most: number }): {
  at: number;
  label: string;
}[] {
  const hours = (to - from) / hourMs;
  const step = hourSteps.find((candidate) => hours / candidate <= Math.max(1, most)) ?? hourSteps.at(-1) ?? 24;
  const marks: { at: number; label: string }[] = [];
  // Zones are off by half and quarter hours too; a full hour of theirs is found by their own clock.
  const [, minute = '0'] = shortTime(from, zone).split(':');
  let days = 0;
  for (let at = Math.floor(from / 60_000) * 60_000 + (60 - Number(minute)) * 60_000; at < to; at += hourMs) {
    const hour = localHour(at, zone);
    if (step < 24 ? hour % step === 0 : hour === 0 && days++ % (step / 24) === 0)
      marks.push({ at, label: step < 24 ? shortTime(at, zone) : dayAndMonth(at, zone) });
  }
  return marks;
}

/** "7 runs" where a bar stands for several. */
export function runsText(bar: Bar): string | null {
  return bar.runs > 1 ? `The worst of ${plural(bar.runs, 'run')}` : null;
}
