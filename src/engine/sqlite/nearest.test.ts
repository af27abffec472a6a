import { expect, test } from 'bun:test';
import { mkdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { askNearest } from './nearest.ts';

const scratch = scratchFolders();

test('the nearest folder that is there answers, also when the asked one appears in between', () => {
  const top = scratch();
  const wanted = join(top, 'one', 'two');
  const asked: string[] = [];
  const room = askNearest(wanted, (path) => {
    asked.push(path);
    try {
      return statfsSync(path);
    } finally {
      // Another process makes it, right after it was missing.
      mkdirSync(wanted, { recursive: true });
    }
  });
  expect(asked).toEqual([wanted, join(top, 'one')]);
  expect(Number(room.blocks)).toBeGreaterThan(0);
});

test('another failure than a missing path is no reason to go up', () => {
  const refuse = () => {
    throw Object.assign(new Error('no'), { code: 'EACCES' });
  };
  expect(() => askNearest('/a/b', refuse)).toThrow('no');
});
