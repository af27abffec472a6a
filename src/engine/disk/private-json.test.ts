import { expect, test } from 'bun:test';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { removeUnplaced, writePrivateJson } from './private-json.ts';

const scratch = scratchFolders();

test('what a killed process had not put in place goes; what a living one is about to put there stays', () => {
  const folder = scratch();
  // Above all numbers that Linux gives: that of a process that has ended may be another's by now.
  const pid = 2 ** 22 + 1;
  for (const name of [`status.json.${pid}.tmp`, `status.json.${process.pid}.tmp`, 'notes.tmp'])
    writeFileSync(join(folder, name), '');
  removeUnplaced(folder);
  expect(readdirSync(folder).sort()).toEqual(['notes.tmp', `status.json.${process.pid}.tmp`]);
});

test('the file is replaced as a whole, flushed or not, and nothing else is left', () => {
  const path = join(scratch(), 'status.json');
  for (const isFlushed of [true, false]) {
    writePrivateJson(path, { isFlushed }, { isFlushed });
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ isFlushed });
  }
  expect(readdirSync(join(path, '..'))).toEqual(['status.json']);
});
