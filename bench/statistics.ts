/** Pure figures: percentiles, medians, and how they are written. */

/** What a writer felt, in milliseconds. */
export interface Waits {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export function summarize(waitsMs: readonly number[]): Waits {
  const sorted = waitsMs.toSorted((a, b) => a - b);
  return {
    count: sorted.length,
    p50: percentile(sorted, 50),
    p99: percentile(sorted, 99),
    p999: percentile(sorted, 99.9),
    max: percentile(sorted, 100),
  };
}

/** Nearest rank: a value that was measured, none between two. NaN of nothing. */
export function percentile(sorted: readonly number[], percent: number): number {
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const [below, above] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return below === undefined || above === undefined ? Number.NaN : (below + above) / 2;
}

/** JSON knows no NaN: a figure that could not be taken is null there. */
export type Figure = number | null;

/** `0.42`, `8.3`, `1,234`; a dash where there is nothing. */
export function inMs(value: Figure): string {
  if (value === null || !Number.isFinite(value)) return '–';
  if (value < 1) return value.toFixed(2);
  return value < 20 ? value.toFixed(1) : Math.round(value).toLocaleString('en');
}

/** `1.05 ×`. */
export function inTimes(value: Figure): string {
  return value === null || !Number.isFinite(value) ? '–' : `${value.toFixed(2)} ×`;
}
