import { expect, test } from 'bun:test';
import { BackupError } from '../words/errors.ts';
import { createLog } from '../service/log.ts';
import { agoText, createOutput, durationText } from './output.ts';

const now = new Date('2024-03-01T12:00:00Z');
const ago = (ms: number) => agoText(new Date(now.getTime() - ms), now);

test('an age is told in seconds, minutes and hours', () => {
  expect([0, 42_000, 200_000, 3_600_000 * 26].map(ago)).toEqual([
    ...['0 s ago', '42 s ago', '3 min 20 s ago', '26 h 0 min ago'],
  ]);
});

test('no age and no duration is negative: what a clock that went back put into the future is told as that', () => {
  for (const ms of [-1, -600, -4_000]) expect(ago(ms)).toBe('0 s ago');
  expect(ago(-6_000)).toBe('6 s in the future');
  expect(ago(-3 * 3_600_000)).toBe('3 h 0 min in the future');
  for (const ms of [-1, -61_000, -1e12]) expect(durationText(ms)).toBe('0 s');
});

test('what comes from elsewhere talks to no terminal and forges no line of the log', () => {
  const hostile = 'a\x1b]0;owned\x07\x1b[2J\u202egnp\u009b31m';
  const error = new BackupError('S3_FAILED', `${hostile} failed`, { hint: `See ${hostile}.` });
  for (const json of [false, true]) {
    const written: string[] = [];
    const sink = { write: (text: string) => void written.push(text) };
    const output = createOutput({ stdout: sink, stderr: sink, json, quiet: false });
    output.answer({ note: hostile }, hostile);
    output.note(hostile);
    output.warn(hostile);
    output.error(error);
    expect([json, written.join('').replaceAll('\n', '')]).toEqual([
      json,
      expect.not.stringMatching(/[\p{Cc}\p{Bidi_Control}]/u),
    ]);
    if (json) expect(JSON.parse(written[0] ?? '')).toEqual({ note: hostile });
  }
  for (const format of ['text', 'json'] as const) {
    const lines: string[] = [];
    createLog({ format, write: (line) => lines.push(line), database: hostile })(
      'warn',
      `x\n[Backup] forged ${hostile}`,
    );
    expect([format, lines]).toEqual([format, [expect.not.stringMatching(/[\p{Cc}\p{Bidi_Control}]/u)]]);
  }
});

test('a failure that the command reports is said once; what else failed is said at the end', () => {
  const said = (json: boolean) => {
    const written: string[] = [];
    const sink = { write: (text: string) => void written.push(text) };
    const output = createOutput({ stdout: { write: () => {} }, stderr: sink, json, quiet: false });
    output.log('[Backup] Auto-backup started.', 'info');
    output.log('[Backup] The clock went back.', 'warn');
    output.log('[Backup] Upload failed: no answer. Wait.', 'error');
    output.log('[Backup] Failed: the disk is full. Free some space.', 'error');
    output.error(
      new BackupError('DISK_FULL', 'shop: the disk is full', { hint: 'Free some space.' }),
      'the disk is full',
    );
    output.end();
    output.end();
    return written;
  };
  expect(said(false)).toEqual([
    '[Backup] The clock went back.\n',
    'Error: shop: the disk is full (DISK_FULL)\nFree some space.\n',
    '[Backup] Upload failed: no answer. Wait.\n',
  ]);
  // The document is on standard output, so the log is whole.
  expect(said(true)).toHaveLength(3);
});
