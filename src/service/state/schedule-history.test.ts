import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { openElsewhere, scratchFolders } from '../../../tests/support/scratch.ts';
import { ScheduleHistory } from './schedule-history.ts';
import { openStateDatabase } from './state-database.ts';

const scratch = scratchFolders();
const hourly = { kind: 'interval', intervalMs: 3_600_000 } as const;
const minutes = (count: number) => new Date(count * 60_000);

function open(path: string) {
  const database = openStateDatabase(path, { warn: () => {} });
  const clock = { now: minutes(0) };
  return {
    database,
    clock,
    history: new ScheduleHistory({ database: () => database.unwaiting, folder: '.', now: () => clock.now }),
  };
}

test('spans follow each other, one that was slept through ends, and a restart reads them all', () => {
  const path = join(scratch(), 'state.sqlite');
  const { history, clock, database } = open(path);
  history.begin(hourly, minutes(60));
  for (let minute = 1; minute <= 10; minute++) {
    clock.now = minutes(minute);
    history.goesOn();
  }
  clock.now = minutes(30);
  history.goesOn();
  clock.now = minutes(31);
  history.begin(null, minutes(31));
  database.close();
  const expected = [
    { beganAt: minutes(0), plannedAt: minutes(60), seenAt: minutes(10), schedule: hourly },
    { beganAt: minutes(30), plannedAt: minutes(30), seenAt: minutes(31), schedule: hourly },
    { beganAt: minutes(31), plannedAt: minutes(31), seenAt: minutes(31), schedule: null },
  ];
  const again = open(path);
  expect(again.history.since(minutes(0))).toEqual(expected);
  expect(again.history.since(minutes(20))).toEqual(expected);
  expect(again.history.since(minutes(40))).toEqual(expected.slice(2));
  again.database.close();
});

test('what can not be written just now is written at the next wake, and nothing waits for it', async () => {
  const path = join(scratch(), 'state.sqlite');
  const { history, clock, database } = open(path);
  const other = await openElsewhere(path);
  await other.ask('BEGIN IMMEDIATE');
  // It writes through these statements alone.
  expect(database.unwaiting.prepare('PRAGMA busy_timeout').get()).toEqual({ timeout: 0 });
  history.begin(hourly, minutes(60));
  history.goesOn();
  expect(history.since(minutes(0))).toHaveLength(1);
  await other.kill();
  clock.now = minutes(1);
  history.goesOn();
  expect(database.prepare('SELECT seen_at FROM schedule_spans').get()).toEqual({ seen_at: 60_000 });
  database.close();
});
