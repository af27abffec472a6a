import { describe, expect, test } from 'bun:test';
import type { Activity } from '../http/contract.ts';
import { type Bar, barAt, chartLabel, countsText, drawChart, mergeBars } from './chart.ts';
import { missedLately } from './text/activity.ts';

const start = Date.parse('2026-11-21T10:30:00Z');
const minuteMs = 60_000;
const megabyte = 1024 * 1024;
const iso = (ms: number) => new Date(ms).toISOString();
const letters: Record<string, Bar['state']> = {
  k: 'kept',
  p: 'pruned',
  f: 'failed',
  m: 'missed',
  s: 'no-s3',
  u: 'unchanged',
  '.': 'none',
};

/** One bar of ten minutes for each letter; good runs saw 14 MB and 0.1 MB more each time. */
function activityOf(states: string, more: Partial<Activity> = {}): Activity {
  const bars = [...states].map((letter, index): Bar => {
    const state = letters[letter] ?? 'none';
    const ran = state !== 'missed' && state !== 'none';
    return {
      from: iso(start + index * 10 * minuteMs),
      to: iso(start + (index + 1) * 10 * minuteMs),
      state,
      runs: ran ? 1 : 0,
      run: ran ? `run-${index}` : null,
      sizeBytes: null,
      reason: null,
    };
  });
  const sizes = bars
    .map((bar, index) => ({ at: bar.from, state: bar.state, sizeBytes: (14 + index / 10) * megabyte }))
    .filter(({ state }) => state === 'kept' || state === 'pruned' || state === 'no-s3')
    .map(({ at, sizeBytes }) => ({ at, sizeBytes }));
  return {
    range: '24h',
    from: iso(start),
    to: iso(start + states.length * 10 * minuteMs),
    sizes,
    bars,
    counts: { good: sizes.length, failed: 0, missed: 0 },
    ...more,
  };
}

const options = { width: 800, zone: 'UTC' };

describe('drawChart', () => {
  test('the curve and the bars share one time axis', () => {
    const chart = drawChart(activityOf('kkkkkkkkkk'), options);
    const [first, second] = chart.bars;
    const step = (second?.middle ?? 0) - (first?.middle ?? 0);
    expect(step).toBeCloseTo(chart.right / 10, 5);
    expect(chart.end?.x).toBeCloseTo(9 * step, 5);
    expect(chart.curves).toHaveLength(1);
  });

  test('the sizes on the axis are round, in the unit of the largest, and enclose all that occur', () => {
    const chart = drawChart(activityOf('kkkkkkkkkk'), options);
    expect(chart.sizeMarks.map(({ label }) => label)).toEqual([
      '14.00 MB',
      '14.25 MB',
      '14.50 MB',
      '14.75 MB',
      '15.00 MB',
    ]);
    for (const { y } of chart.sizeMarks) expect(y).toBeGreaterThanOrEqual(chart.top);
  });

  test('a size that never changes is a flat line with more than one mark', () => {
    const sizes = ['10:30', '10:40'].map((time) => ({ at: `2026-11-21T${time}:00.000Z`, sizeBytes: 40960 }));
    const chart = drawChart(activityOf('kk', { sizes }), options);
    expect(chart.sizeMarks.length).toBeGreaterThan(1);
    expect(new Set(chart.sizeMarks.map(({ label }) => label)).size).toBe(chart.sizeMarks.length);
  });

  test('an empty database and one of a terabyte have an axis too', () => {
    for (const sizeBytes of [0, 1, 512, 4096, 3 * 1024 ** 4]) {
      const chart = drawChart(activityOf('k', { sizes: [{ at: iso(start), sizeBytes }] }), options);
      expect(chart.end?.y).toBeFinite();
      expect(chart.sizeMarks.length).toBeGreaterThan(1);
      expect(chart.sizeMarks.length).toBeLessThan(9);
    }
  });

  test('without sizes there are bars alone', () => {
    const chart = drawChart(activityOf('ffm.'), options);
    expect(chart.sizeMarks).toEqual([]);
    expect(chart.curves).toEqual([]);
    expect(chart.end).toBeNull();
    expect(chart.bars).toHaveLength(4);
  });

  test('three missed runs break the curve, two are bridged', () => {
    expect(drawChart(activityOf('kkmmkk'), options).curves).toHaveLength(1);
    expect(drawChart(activityOf('kkmmmkk'), options).curves).toHaveLength(2);
  });

  test('the curve ends where the data ends', () => {
    const chart = drawChart(activityOf('kkkkkmmmmm'), options);
    expect(chart.end?.x).toBeCloseTo((chart.right * 4) / 10, 5);
  });

  test('a run that found nothing changed carries the size on', () => {
    const chart = drawChart(activityOf('kkuuu'), options);
    expect(chart.end?.x).toBeCloseTo((chart.right * 4.5) / 5, 5);
    expect(chart.end?.y).toBeCloseTo(drawChart(activityOf('kk'), options).end?.y ?? 0, 5);
  });

  test('failed bars are full, missed ones are stumps', () => {
    const [failed, missed, kept] = drawChart(activityOf('fmk'), options).bars;
    expect(failed?.height).toBe(kept?.height ?? 0);
    expect(missed?.height).toBeLessThan((kept?.height ?? 0) / 2);
  });

  test('times are full hours of the zone, also where it is half an hour off', () => {
    const day = activityOf('k'.repeat(144));
    const utc = drawChart(day, options).timeMarks.map(({ label }) => label);
    expect(utc).toEqual(['12:00', '15:00', '18:00', '21:00', '00:00', '03:00', '06:00']);
    const india = drawChart(day, { width: 800, zone: 'Asia/Kolkata' }).timeMarks.map(({ label }) => label);
    for (const label of india) expect(label).toEndWith(':00');
  });

  test('a month has days on its axis', () => {
    const activity = activityOf('k'.repeat(10), { range: '30d', to: iso(start + 30 * 24 * 60 * minuteMs) });
    const labels = drawChart(activity, options).timeMarks.map(({ label }) => label);
    expect(labels.length).toBeGreaterThan(3);
    expect(labels[0]).toBe('27 Nov');
  });
});

describe('mergeBars', () => {
  test('neighbours become one that shows the worst and opens its run', () => {
    const merged = mergeBars(activityOf('kkfkkmkku').bars, 3);
    expect(merged.map(({ state }) => state)).toEqual(['failed', 'missed', 'kept']);
    expect(merged[0]).toMatchObject({ run: 'run-2', runs: 3, from: iso(start), to: iso(start + 30 * minuteMs) });
  });

  test('what fits stays as it is', () => {
    const { bars } = activityOf('kfk');
    expect(mergeBars(bars, 3)).toBe(bars);
    expect(mergeBars(activityOf('k'.repeat(145)).bars, 48).length).toBeLessThanOrEqual(48);
  });
});

test('the bar under the pointer is found, and the nearest beyond the ends', () => {
  const chart = drawChart(activityOf('kkkk'), options);
  expect(barAt(chart, chart.right * 0.4)).toBe(1);
  expect(barAt(chart, -50)).toBe(0);
  expect(barAt(chart, 5000)).toBe(3);
  expect(barAt(drawChart(activityOf(''), options), 10)).toBe(-1);
});

test('the counts say what is not good, and only as exactly as it is known', () => {
  const counts = { good: 3, failed: 1, missed: 2 };
  expect(countsText(activityOf('kks', { counts }))).toBe('3 good (1 without S3) · 1 failed · 2 missed');
  const merged = { ...activityOf('kks', { counts }), bars: [...mergeBars(activityOf('ksk').bars, 1)] };
  expect(countsText(merged)).toBe('3 good · 1 failed · 2 missed');
  expect(chartLabel(activityOf('kk'))).toBe(
    'Size of the database and result of each run over the last 24 hours: 2 good. The size went from 14 MB to 14.1 MB, at most 14.1 MB. The run log has the same as text.',
  );
});

describe('missedLately', () => {
  test('counts the planned runs up to now and tells why', () => {
    const activity = activityOf('kmkmmm.');
    Object.assign(activity.bars[4] ?? {}, { reason: 'The app was not running from 08:22 to 11:31.' });
    expect(missedLately(activity, 10 * minuteMs)).toEqual({
      from: start + 30 * minuteMs,
      runs: 3,
      reason: 'The app was not running from 08:22 to 11:31.',
    });
    expect(missedLately(activity, 5 * minuteMs)?.runs).toBe(6);
    expect(missedLately(activity, null)?.runs).toBeNull();
  });

  test('a gap that has ended is none', () => {
    expect(missedLately(activityOf('kmmk'), 10 * minuteMs)).toBeNull();
    expect(missedLately(activityOf('kmmf'), 10 * minuteMs)).toBeNull();
  });
});
