import { expect, test } from 'bun:test';
import { createLog } from './log.ts';

test('a line is one object of JSON with its time in UTC, whatever the message holds', () => {
  const lines: string[] = [];
  const log = createLog({ format: 'json', write: (line) => lines.push(line), database: 'shop' });
  const message = 'failed\n{"level":"info","message":"all is well"}\r\u2028"quoted"';
  log('error', message);
  expect(lines.length).toBe(1);
  expect(lines[0]).not.toMatch(/[\n\r]/);
  const told = JSON.parse(lines[0] ?? '');
  expect(told).toEqual({ time: expect.any(String), level: 'error', area: 'backup', database: 'shop', message });
  expect(new Date(told.time).toISOString()).toBe(told.time);
});
