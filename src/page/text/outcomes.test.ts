import { expect, test } from 'bun:test';
import { drillText } from './outcomes.ts';

const drill = { target: 's3', backup: null, sizeBytes: null, ms: 3_200, assertions: 0, error: null } as const;
const error = { code: 'BUSY', message: 'another program runs a drill here', hint: 'Try later.' } as const;

test('a drill is told by what it found, and one that was not begun is no restore that fails', () => {
  const lines = ['Another program runs a drill here.', 'Try later.'];
  expect(drillText({ ...drill, result: 'proven' })).toMatchObject({ tone: 'good', title: 'S3: a restore works' });
  expect(drillText({ ...drill, error, result: 'failed' })).toEqual({
    tone: 'bad',
    title: 'S3: a restore fails',
    lines,
  });
  expect(drillText({ ...drill, error, result: 'refused' })).toEqual({ tone: 'plain', title: 'S3: not begun', lines });
  expect(drillText({ ...drill, result: 'stopped' })).toMatchObject({ title: 'S3: stopped', lines: [] });
});
