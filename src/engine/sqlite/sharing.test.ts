import { expect, test } from 'bun:test';
import { linkSync } from 'node:fs';
import { join } from 'node:path';
import { makeDatabase, scratchFolders } from '../../../tests/support/scratch.ts';
import { mountsIn } from './mounts.ts';
import { doubtsAbout } from './sharing.ts';

const scratch = scratchFolders();

function shop() {
  const folder = scratch();
  const path = join(folder, 'shop.sqlite');
  makeDatabase(path, { rows: 1 });
  const kinds = (...lines: string[]) =>
    doubtsAbout(path, mountsIn(['/dev/vda / ext4 rw 0 0', ...lines].join('\n'))).map(({ kind }) => kind);
  return { folder, path, kinds };
}

test('a database with one name on a disk leaves no doubt, also where nobody knows the mounts', () => {
  const { path, kinds } = shop();
  expect(kinds()).toEqual([]);
  expect(doubtsAbout(path, null)).toEqual([]);
  expect(doubtsAbout(path)).toEqual([]);
});

test('a second name, a mount of the single file, and a file system that may not share are doubts', () => {
  const { folder, path, kinds } = shop();
  expect(kinds(`/dev/vda ${path} ext4 rw 0 0`)).toEqual(['file-mount']);
  expect(kinds(`/dev/vda ${folder} ext4 rw 0 0`)).toEqual([]);
  for (const kind of ['fuse', 'fuse.bindfs', 'fuseblk', 'virtiofs', 'vboxsf', 'fakeowner'])
    expect(kinds(`x ${folder} ${kind} rw 0 0`)).toEqual(['file-system']);
  linkSync(path, join(folder, 'second.sqlite'));
  expect(kinds()).toEqual(['hard-link']);
});

test('a file in a layer of a container is a doubt, and one on the container’s own file system is none', () => {
  const { folder, kinds } = shop();
  const overlay = (at: string, options: string) => `overlay ${at} overlay rw,relatime,${options},index=off 0 0`;
  expect(kinds(overlay('/mnt/merged', `lowerdir=/l/one:${folder},upperdir=/u,workdir=/w`))).toEqual(['layer']);
  expect(kinds(overlay('/mnt/merged', `lowerdir=/l/one,upperdir=${folder},workdir=/w`))).toEqual(['layer']);
  expect(kinds(overlay(folder, 'lowerdir=/l/one:/l/two,upperdir=/u,workdir=/w'))).toEqual([]);
});

test('no way out of a doubt advises to remove a name or a log', () => {
  const { folder, path } = shop();
  linkSync(path, join(folder, 'second.sqlite'));
  const mounts = mountsIn(`x ${path} fuse rw 0 0\noverlay / overlay lowerdir=${folder} 0 0`);
  const doubts = doubtsAbout(path, mounts);
  expect(doubts.map(({ kind }) => kind)).toEqual(['hard-link', 'file-mount', 'layer', 'file-system']);
  for (const { fix } of doubts) expect(fix).not.toMatch(/remove|delete|rm /i);
  for (const { fix } of doubts.slice(0, 3)) expect(fix).toContain('keep every -wal file that is not empty');
});
