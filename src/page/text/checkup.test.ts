import { expect, test } from 'bun:test';
import { headline, remedyOf } from './checkup.ts';

const found = (code: string, fix: string | null) => {
  const remedy = remedyOf({ code, severity: 'warning', what: 'it is so', why: 'it matters', fix }, [
    's3',
    'offsite-eu',
  ]);
  return remedy && [remedy.label, ...('text' in remedy ? [remedy.text] : 'target' in remedy ? [remedy.target] : [])];
};

test('each finding has the one thing that helps', () => {
  expect(found('schedule', 'Set BACKUP_ENABLED=true, or switch it on on the page.')).toEqual(['Turn on']);
  expect(found('history', 'Set BACKUP_KEEP_HOURLY=24.')).toEqual(['Configure']);
  expect(found('damaged-backups', 'See which with velist-backup list')).toEqual(['Show them']);
  expect(found('drills', 'Run it again and read the reason: velist-backup drill --from s3')).toEqual(['Run a drill']);
  expect(found('s3-write', 'Allow PutObject.')).toEqual(['Test again', 's3']);
  expect(found('offsite-eu-clock', 'Set the clock.')).toEqual(['Test again', 'offsite-eu']);
  expect(found('check', null)).toBeNull();
});

test('what is done elsewhere can be copied: the command, else what is said', () => {
  expect(found('drills', 'velist-backup drill --from s3 --identity key.txt, where the private key is')).toEqual([
    ...['Copy command', 'velist-backup drill --from s3 --identity key.txt, where the private key is'],
  ]);
  expect(found('permissions', 'chmod 600 ./storage/backups/backup-*')).toEqual([
    ...['Copy command', 'chmod 600 ./storage/backups/backup-*'],
  ]);
  expect(found('secrets', 'Give it to the user who runs this process, then `chmod 600 key.txt`.')).toEqual([
    ...['Copy command', 'chmod 600 key.txt'],
  ]);
  expect(found('identity', 'If it is the same database, moved or renamed: velist-backup claim')).toEqual([
    ...['Copy command', 'velist-backup claim'],
  ]);
  expect(found('same-disk', 'Move it to another disk.')).toEqual(['Copy', 'Move it to another disk.']);
});

test('a headline is a sentence without its full stop', () => {
  expect(headline('the last drill failed')).toBe('The last drill failed');
});
