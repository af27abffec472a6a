import { expect, test } from 'bun:test';
import type { Run } from '../../http/contract.ts';
import { filterRuns, mergeRuns, runChips } from './run-filters.ts';

function run(id: string, kind: Run['kind'], result: Run['result'] = 'success'): Run {
  const at = `2024-03-01T12:${id.padStart(2, '0')}:00.000Z`;
  return {
    ...{ id, kind, result, trigger: 'manual', user: null, plannedAt: null, startedAt: at, endedAt: at },
    ...{ backup: `backup-${id}`, sizeBytes: null, steps: [], error: null },
  };
}

const runs = [run('5', 'drill', 'failed'), run('4', 'undo'), run('3', 'restore', 'refused'), run('2', 'backup')];

test('each chip shows what it says, and one that shows nothing is not there', () => {
  const shown = (filter: Parameters<typeof filterRuns>[1]) =>
    filterRuns(runs, filter, new Set(['backup-2', 'backup-5'])).map(({ id }) => id);
  expect([shown('Failed'), shown('Restores'), shown('Drills'), shown('Alarms')]).toEqual([
    ...[['5'], ['4', '3'], ['5'], ['2']],
  ]);
  const chips = runChips(runs, new Set()).map(({ label, count }) => `${label} ${count}`);
  expect(chips).toEqual(['All undefined', 'Failed 1', 'Restores 2', 'Drills 1']);
  expect(runChips([run('1', 'backup')], new Set())).toHaveLength(1);
});

test('older runs are added once, in their order', () => {
  const ids = mergeRuns(runs, [run('4', 'undo'), run('1', 'drill'), run('1', 'drill')]).map(({ id }) => id);
  expect(ids).toEqual(['5', '4', '3', '2', '1']);
});
