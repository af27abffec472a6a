import { expect, test } from 'bun:test';
import { copyWords, isFolderAmong, kindOf, targetList, targetSubject, uploadWord } from './targets.ts';

const s3 = { target: 's3', bucket: 'my-backups' };
const eu = { target: 'offsite-eu', bucket: 'eu' };
const folder = { target: 'folder', bucket: null };
const usb = { target: 'usb', bucket: null };

test('a folder is called a folder, a bucket by its name, and an owner’s name stays', () => {
  expect(targetList([s3, folder, usb])).toBe('S3 and the second folder and usb');
  expect(targetSubject('folder')).toBe('The second folder');
  expect(copyWords(['local', 'folder'])).toBe('local and folder copies');
  expect([isFolderAmong([s3, usb], 'usb'), isFolderAmong([s3, usb], 's3')]).toEqual([true, false]);
});

test('what a run does at its targets names them by their kind', () => {
  const word = uploadWord;
  expect([[], [s3], [eu], [s3, eu]].map((targets) => word(targets))).toEqual([
    'Upload to S3',
    'Upload to S3',
    'Upload to offsite-eu',
    'Upload',
  ]);
  expect([[folder], [usb], [folder, usb], [s3, folder]].map((targets) => word(targets))).toEqual([
    'Copy to the second folder',
    'Copy to usb',
    'Copy to the folders',
    'Upload',
  ]);
  expect([[], [s3, eu], [folder, usb], [s3, usb]].map(kindOf)).toEqual(['bucket', 'bucket', 'folder', 'mixed']);
});
