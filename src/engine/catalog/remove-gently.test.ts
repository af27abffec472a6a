import { expect, test } from 'bun:test';
import {
  closeSync,
  existsSync,
  fstatSync,
  linkSync,
  openSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { removeGently } from './remove-gently.ts';

const scratch = scratchFolders();
const BYTES = 100 * 1024 * 1024;

function largeFile(folder: string): string {
  const path = join(folder, 'large.sqlite');
  writeFileSync(path, '');
  truncateSync(path, BYTES);
  return path;
}

test('a large file goes, and nothing is left', async () => {
  const folder = scratch();
  const path = largeFile(folder);
  await removeGently(path);
  expect(readdirSync(folder)).toEqual([]);
});

test('who reads it meanwhile keeps all of it', async () => {
  const folder = scratch();
  const path = largeFile(folder);
  const reader = openSync(path, 'r');
  await removeGently(path);
  expect(existsSync(path)).toBe(false);
  expect(fstatSync(reader).size).toBe(BYTES);
  closeSync(reader);
});

test('another name of the same file keeps all of it', async () => {
  const folder = scratch();
  const path = largeFile(folder);
  const linked = join(folder, 'linked.sqlite');
  linkSync(path, linked);
  await removeGently(path);
  expect(readdirSync(folder)).toEqual(['linked.sqlite']);
  expect(statSync(linked).size).toBe(BYTES);
});
