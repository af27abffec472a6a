/**
 * What `GET api/activity` says in each canned state: a day of runs, one each ten minutes, with what a real day has: a
 * failure, two uploads that did not happen, a restart, a quiet hour, a night in which little grows. The week and the
 * month are made of the same, in larger bars.
 */
import type { Activity, Run } from '../../src/http/contract.ts';
import type { State } from './ui-fixture.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const kept = 10;
const plans = {
  '24h': { barMs: 10 * minuteMs, bars: 144 },
  '7d': { barMs: hourMs, bars: 168 },
  '30d': { barMs: 6 * hourMs, bars: 120 },
} as const;

type Bar = Activity['bars'][number];

/** `last` is when the newest planned run was due. */
export function makeActivity(
  state: State,
  range: Activity['range'],
  { last, runs }: { last: number; runs: readonly Run[] },
): Activity {
  const { barMs, bars: many } = plans[range];
  const each = barMs / plans['24h'].barMs;
  const start = last + 10 * minuteMs - many * barMs;
  const random = seeded(7);
  let bytes = 13.62 * 1024 * 1024;
  const sizes: Activity['sizes'] = [];
  const bars = Array.from({ length: many }, (_, index): Bar => {
    const from = start + index * barMs;
    const hour = new Date(from).getUTCHours();
    const step = (hour > 6 && hour < 20 ? 1 : 0.25) * random() * 22_000 * (random() > 0.12 ? 1 : -0.6);
    bytes += range === '24h' ? step : step * 1.4;
    if (index === Math.round(many * 0.58)) bytes -= 0.34 * 1024 * 1024;
    const bar = stateOf(state, index, many);
    const ran = bar !== 'missed' && bar !== 'none';
    const known = each > 1 ? undefined : runs.find((run) => Date.parse(run.startedAt) === from);
    const sizeBytes = Math.round(bytes / 4096) * 4096;
    if (ran && bar !== 'failed' && bar !== 'unchanged') sizes.push({ at: iso(from), sizeBytes });
    return {
      from: iso(from),
      to: iso(from + barMs),
      state: bar === 'pruned' && index >= many - kept / each ? 'kept' : bar,
      runs: ran ? each : 0,
      run: ran ? (known?.id ?? `run-old-${index}`) : null,
      sizeBytes: ran && bar !== 'failed' ? sizeBytes : null,
      reason: reasonOf(bar, state, index, many),
    };
  });
  const count = (...wanted: Bar['state'][]) =>
    bars.filter((bar) => wanted.includes(bar.state)).reduce((sum, bar) => sum + Math.max(1, bar.runs), 0);
  return {
    range,
    from: iso(start),
    to: iso(start + many * barMs),
    sizes,
    bars,
    counts: { good: count('kept', 'pruned', 'no-s3', 'unchanged'), failed: count('failed'), missed: count('missed') },
  };
}

/** The runs that the bars name and that the usual answer of `GET api/runs` does not reach. */
export function olderRuns(activity: Activity, runs: readonly Run[], make: (id: string, time: number) => Run): Run[] {
  return activity.bars
    .filter((bar) => bar.run !== null && !runs.some((run) => run.id === bar.run))
    .map((bar) => make(bar.run ?? '', Date.parse(bar.from)))
    .reverse();
}

function stateOf(state: State, index: number, many: number): Bar['state'] {
  if (state === 'empty') return 'none';
  const fromEnd = many - 1 - index;
  if (state === 'too-old' && fromEnd < 19) return 'missed';
  if (state === 'failed' && fromEnd === 0) return 'failed';
  if (state === 's3-waiting' && fromEnd < 3) return 'no-s3';
  if (index === 52) return 'failed';
  if (index === 97 || index === 98) return 'no-s3';
  if (index === 20 || index === 21) return 'missed';
  if (index > 82 && index < 88) return 'unchanged';
  return 'pruned';
}

function reasonOf(bar: Bar['state'], state: State, index: number, many: number): string | null {
  if (bar === 'failed' && index === many - 1) return 'The disk with ./storage/backups is full.';
  if (bar === 'failed') return 'The new file did not pass its integrity check and was removed.';
  if (bar === 'no-s3') return 's3.example.com did not answer.';
  if (bar !== 'missed') return null;
  return state === 'too-old' && index > many / 2
    ? 'The app was not running from 08:22 to 11:31.'
    : 'The app was not running.';
}

/** The same numbers at each start, so that pictures can be compared. */
function seeded(seed: number): () => number {
  let value = seed;
  return () => {
    value = (value * 16807) % 2147483647;
    return value / 2147483647;
  };
}

const iso = (time: number) => new Date(time).toISOString();
