import { expect, test } from 'bun:test';
import { Glob } from 'bun';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCodes, says, traitsOf } from './error-codes.ts';

const sources = join(import.meta.dir, '..');

test('each code has every trait, and all but one of the codes of a store is blamed on the target', () => {
  for (const code of errorCodes) {
    const { status, exit, blames, retry, says: sayings } = traitsOf(code);
    expect([code, status >= 400 && status < 600]).toEqual([code, true]);
    expect([code, [1, 2, 3, 4, 130].includes(exit)]).toEqual([code, true]);
    expect([code, typeof retry, Array.isArray(sayings)]).toEqual([code, 'boolean', true]);
    expect([code, new Set(sayings).size]).toEqual([code, sayings.length]);
    expect([code, blames === 'target']).toEqual([code, code.startsWith('S3_') || code === 'TARGET_FAILED']);
  }
});

test('what each story decides by a code alone', () => {
  const saying = (it: Parameters<typeof says>[1]) => errorCodes.filter((code) => says(code, it)).join(' ');
  expect(errorCodes.filter((code) => !traitsOf(code).retry).join(' ')).toBe(
    'BAD_CONFIG BAD_NAME BAD_REQUEST CONFIRM_MISMATCH FORBIDDEN FOREIGN_PLACE GONE NO_MOMENT NO_PERMISSION NOTHING_TO_UNDO PASSWORD_AGAIN S3_ARCHIVED S3_CLOCK S3_DENIED S3_NO_BUCKET TARGET_EXISTS UNAUTHORIZED UNSUPPORTED',
  );
  expect(saying('another-copy-may-do')).toBe(
    'BAD_BACKUP CHECK_GAVE_UP GONE NO_BACKUP NO_MOMENT NOT_SQLITE PLAIN_COPY S3_ARCHIVED S3_MISMATCH STREAM_UNTRUE TARGET_FAILED VERIFY_FAILED',
  );
  expect(saying('not-there')).toBe('GONE NO_BACKUP');
  expect(saying('another-backup-may-do')).toBe('BAD_BACKUP NO_PERMISSION TARGET_EXISTS VERIFY_FAILED');
  expect(saying('whole-target')).toBe('BAD_CONFIG FOLDER_MISSING S3_CLOCK S3_NO_BUCKET S3_UNREACHABLE');
  expect(saying('not-replaced')).toBe('S3_DENIED TARGET_EXISTS UNSUPPORTED');
  expect(saying('drill-verdict')).toBe(
    'BAD_BACKUP CHECK_GAVE_UP DRILL_FAILED PLAIN_COPY S3_DENIED S3_NO_BUCKET STREAM_UNTRUE VERIFY_FAILED',
  );
  expect(saying('unreadable-database')).toBe('DB_DAMAGED DB_EMPTY NOT_SQLITE');
  expect(saying('keeps-backups')).toBe('DB_DAMAGED DB_EMPTY NOT_SQLITE VERIFY_FAILED');
  expect(saying('no-restore')).toBe(
    'ABORTED DB_CHANGED DB_NOT_SHARED ENCODING_DIFFERS FOREIGN_PLACE GONE PAGE_SIZE_DIFFERS RESTORE_IN_USE UNSUPPORTED',
  );
  expect(saying('taken-back')).toBe('DB_BUSY DISK_FULL');
  expect(saying('refusal')).toBe(
    'BAD_CONFIG BAD_NAME BAD_REQUEST BUSY CONFIRM_MISMATCH DB_CHANGED FORBIDDEN FOREIGN_PLACE NOTHING_TO_UNDO PASSWORD_AGAIN RESTORE_IN_USE TARGET_EXISTS TOO_MANY UNAUTHORIZED',
  );
  expect(saying('not-written')).toBe('DISK_FULL INTERNAL NO_PERMISSION');
});

test('no other file keeps a list of codes', () => {
  const lists = [...new Glob('**/*.{ts,svelte}').scanSync(sources)].filter(
    (file) =>
      !/\.test\.ts$/.test(file) &&
      /Set<ErrorCode>|\bcase '[A-Z0-9]+_[A-Z_]+':/.test(readFileSync(join(sources, file), 'utf8')),
  );
  expect(lists).toEqual([]);
});
