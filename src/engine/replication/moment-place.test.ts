import { expect, test } from 'bun:test';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { removeDeadMoments, takeMomentPlace } from './moment-place.ts';

const scratch = scratchFolders();
const bookmark = '0000000000000001';
const moments = (folder: string) => readdirSync(folder).filter((name) => name.startsWith('.velist-moment'));

test('what is there goes with its user, and what a killed one left goes with the next', () => {
  const folder = scratch();
  writeFileSync(join(folder, `.velist-moment-${bookmark}-of-a-killed-process.sqlite`), '');
  {
    using place = takeMomentPlace(folder, bookmark);
    writeFileSync(place.path, '');
    expect(moments(folder).filter((name) => name.endsWith('.sqlite')).length).toBe(1);
    // A backup that begins meanwhile, and another user.
    removeDeadMoments(folder);
    using other = takeMomentPlace(folder, bookmark);
    writeFileSync(other.path, '');
    expect(moments(folder).filter((name) => name.endsWith('.sqlite')).length).toBe(2);
  }
  expect(moments(folder)).toEqual([]);
});

test('a folder in which nothing was left is not written to', () => {
  const folder = scratch();
  removeDeadMoments(folder);
  expect(readdirSync(folder)).toEqual([]);
});
