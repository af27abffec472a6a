import { expect, test } from 'bun:test';
import { visibleJson, visibleLine, visibleText } from './visible-text.ts';

const hostile = 'a\x1b]0;owned\x07\x1b[2J\x9b31m\r\nError: b\u202egnp.exe\u2028\x7f\ttab \ud800';

test('a line of a log is one line, and nothing in it moves a cursor or turns the writing', () => {
  expect(visibleLine(hostile)).toBe(
    'a\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\x0d\\nError: b\\u202egnp.exe\\u2028\\x7f\\x09tab \\ud800',
  );
});

test('text for a terminal keeps its lines and tabs, and what people write', () => {
  expect(visibleText(hostile)).toContain('\nError: b\\u202egnp.exe\\u2028\\x7f\ttab');
  for (const text of ['Grüße, 北京 👩‍👩‍👧 “quoted” – é', 'שלום', '  two\n  lines\tand a tab'])
    expect(visibleText(text)).toBe(text);
});

test('a document stays the same document', () => {
  const document = { [hostile]: [hostile, { note: hostile }] };
  const json = visibleJson(JSON.stringify(document, null, 2));
  expect(JSON.parse(json)).toEqual(document);
  expect(json.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u);
});
