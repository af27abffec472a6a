import { expect, test } from 'bun:test';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { BackupError } from '../../words/errors.ts';
import { Faults } from './faults.ts';
import { ToldStatus } from './told-status.ts';

const scratch = scratchFolders();
const error = (code: 'DB_DAMAGED' | 'STREAM_UNTRUE') =>
  new BackupError(code, 'it is not what was committed', { hint: '' });

/** What a process knows that begins in this folder. */
function begin(folder: string) {
  const status = new ToldStatus(folder, () => {});
  return { status, faults: new Faults(status, () => new Date('2024-01-01T09:12:00Z')) };
}

test('a stream at fault is known through a rest and to the next process, until it began anew', () => {
  const folder = scratch();
  const first = begin(folder);
  first.faults.noteStream(error('STREAM_UNTRUE'));
  first.status.tell({ phase: 'paused', untrue: first.faults.untrueAtRest() });
  const second = begin(folder);
  expect([second.faults.isStreamUntrue, second.status.now.untrue?.at]).toEqual([true, 'stream']);
  second.status.tell({ rebased: { at: '2024-01-01T09:13:00.000Z', reason: '', pages: 1 } });
  second.faults.noteBeganAnew();
  expect([second.faults.isStreamUntrue, second.faults.untrueAtRest()]).toEqual([false, null]);
  expect(begin(folder).faults.isStreamUntrue).toBe(false);
});

test('a damaged file is not forgotten for a fault of the stream, nor the other way round', () => {
  const folder = scratch();
  const damage = { page: 7, file: '42' };
  const { faults, status } = begin(folder);
  faults.noteDamage(damage, error('DB_DAMAGED'));
  faults.noteStream(error('STREAM_UNTRUE'));
  const next = begin(folder).faults;
  expect([next.damage, next.isStreamUntrue]).toEqual([{ ...damage, error: error('DB_DAMAGED').toJSON() }, true]);
  faults.endDamage();
  expect([faults.damage, status.now.untrue?.at]).toEqual([null, 'stream']);
});
