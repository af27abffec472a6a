import { expect, test } from 'bun:test';
import stringWidth from 'string-width';
import { table, wrapped } from './tables.ts';

const head = ['NAME', 'SIZE', 'REMARKS'];
const rows = [
  ['backup-1', '10 KB', 'before the big change of the orders'],
  ['backup-2', '9 KB', '订单更改之前 👩‍👩‍👧 café'],
];

test('a pipe gets all, and wide letters stand in line', () => {
  const lines = table(head, rows).split('\n');
  expect(lines[1]).toBe('backup-1  10 KB  before the big change of the orders');
  expect(lines[2]).toBe('backup-2  9 KB   订单更改之前 👩‍👩‍👧 café');
});

test('no line is wider than the terminal; the last column is cut, then columns go, and the name stays whole', () => {
  for (let width = 8; width < 60; width++) {
    const lines = table(head, rows, { width }).split('\n');
    expect([width, Math.max(...lines.map((line) => stringWidth(line))) <= width]).toEqual([width, true]);
    expect(lines[1]).toStartWith('backup-1');
  }
  expect(table(head, rows, { width: 30 }).split('\n')).toEqual([
    'NAME      SIZE   REMARKS',
    'backup-1  10 KB  before the b…',
    'backup-2  9 KB   订单更改之前…',
  ]);
  expect(table(head, rows, { width: 20 }).split('\n')[1]).toBe('backup-1  10 KB');
  expect(table(head, rows, { width: 3 }).split('\n')[1]).toBe('backup-1');
});

test('a note can not break its line or talk to the terminal', () => {
  expect(table(['A'], [['one\ntwo\x1b[31m']])).toBe('A\none two [31m');
});

test('a long line breaks between words, under where its text began; words are never cut', () => {
  const line = 'ok       clock  no backup is of the future';
  expect(wrapped(line, 16, 40)).toBe('ok       clock  no backup is of the\n                future');
  expect(wrapped('  Why: one two three four five', 7, 31).split('\n')).toEqual(['  Why: one two three four five']);
  expect(wrapped(line, 16, undefined)).toBe(line);
  expect(wrapped(line, 16, 20)).toBe(line);
  expect(wrapped(`x ${'y'.repeat(80)} z`, 2, 40)).toBe(`x\n  ${'y'.repeat(80)}\n  z`);
});
