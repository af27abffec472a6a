import { expect, test } from 'bun:test';
import type { DatabaseRow } from '../../http/contract.ts';
import { partOf } from './list-window.ts';
import {
  actionOf,
  inOrder,
  isFound,
  nextText,
  placeText,
  reasonText,
  stateText,
  stripText,
  tabText,
  tallies,
  total,
} from './overview.ts';

const now = Date.parse('2026-11-22T13:34:18.000Z');

function row(change: Partial<DatabaseRow> = {}): DatabaseRow {
  return {
    ...{ name: 'app', page: 'db/app/', path: 'db/app.sqlite', exists: true, state: 'protected', code: 'protected' },
    ...{ label: 'Protected', tone: 'green', reason: null, percent: null, sizeBytes: 1_000, places: [], errand: null },
    ...{ lastGoodAt: '2026-11-22T13:30:00.000Z', nextRunAt: '2026-11-22T13:40:00.000Z' },
    ...change,
  };
}

test('the worst come first, and among alike the names decide', () => {
  const rows = [
    row({ name: 'b' }),
    row({ name: 'a' }),
    row({ name: 'z', tone: 'red' }),
    row({ name: 'm', tone: 'blue' }),
    row({ name: 'n', tone: 'grey' }),
    row({ name: 'c', tone: 'amber' }),
  ];
  expect(inOrder(rows).map(({ name }) => name)).toEqual(['z', 'c', 'n', 'm', 'a', 'b']);
  expect(tallies(rows)).toEqual({ attention: 1, look: 2, working: 1, protected: 2 });
  expect([tabText(tallies(rows)), tabText(tallies([row()]))]).toEqual(['! 1 need attention', 'Protected']);
});

test('a search finds words of the name, the path and the state in any order', () => {
  const acme = row({ name: 'tenants.acme', path: 'db/t/acme.sqlite', label: 'Uploads wait' });
  for (const search of ['', 'acme', 'ACME tenants', 't/acme', 'uploads acme'])
    expect([search, isFound(acme, search)]).toEqual([search, true]);
  expect(isFound(acme, 'acme zoo')).toBe(false);
});

test('an errand is told in place of the reason, and a run that goes on in place of its errand', () => {
  const say = (change: Partial<DatabaseRow>) => reasonText(row(change), now, 'Europe/Berlin');
  expect(say({})).toBe('');
  expect(say({ code: 'missing' })).toBe('newest good 14:30');
  expect(say({ code: 'loss', reason: 'orders had 8,310 rows, now 0' })).toBe('orders had 8,310 rows, now 0');
  expect(say({ reason: 'x', errand: { act: 'backup', state: 'waiting', detail: null } })).toBe('waiting for its turn');
  expect(say({ errand: { act: 'backup', state: 'failed', detail: 'the disk is full' } })).toBe(
    'not backed up: the disk is full',
  );
  const running = {
    code: 'running',
    reason: 'copy',
    errand: { act: 'backup', state: 'running', detail: null },
  } as const;
  expect(say(running)).toBe('copy');
  expect(stateText(row({ ...running, label: 'Backing up…', percent: 62 }))).toBe('Backing up… 62%');
  // A name out of a database is text, whatever it holds.
  expect(say({ code: 'loss', reason: 'or\u0007ders\u202e had 1 row' })).toBe('or␇ders had 1 row');
});

test('when the next run comes, or why none does', () => {
  const say = (change: Partial<DatabaseRow>) => nextText(row(change), now);
  expect([say({}), say({ nextRunAt: '2026-11-22T18:34:18.000Z' }), say({ nextRunAt: null })]).toEqual([
    ...['5:42', '5 h', 'none'],
  ]);
  expect([say({ code: 'running' }), say({ code: 'missing' })]).toEqual(['now', 'waiting']);
});

test('the action leads to what helps', () => {
  expect(actionOf(row())).toEqual({ label: 'Open', page: 'db/app/' });
  expect(actionOf(row({ code: 'missing' }))).toEqual({ label: 'Bring back…', page: 'db/app/#bring-back' });
  expect(actionOf(row({ code: 'missing', lastGoodAt: null })).label).toBe('Open');
  expect(actionOf(row({ code: 'loss' }))).toEqual({ label: 'See…', page: 'db/app/#loss' });
});

test('places and bars have words', () => {
  expect(placeText({ target: 's3', kind: 'bucket', state: 'failing' })).toBe('S3: not reachable');
  expect(placeText({ target: 'nas', kind: 'folder', state: 'waiting' })).toBe('another folder nas: waiting');
  expect(placeText({ target: 'local', kind: 'local', state: 'waiting' })).toBe('folder: no backup yet');
  expect([stripText('kkwfm-'), stripText('--')]).toEqual([
    'Last 24 hours: 2 good, 1 not at a target, 1 failed, 1 missed',
    'Last 24 hours: no runs',
  ]);
});

test('more than 20 databases, or more than 10 GB, are much', () => {
  const many = (count: number, sizeBytes = 1) => Array.from({ length: count }, () => row({ sizeBytes }));
  expect([total(many(20)).isMuch, total(many(21)).isMuch]).toEqual([false, true]);
  expect([total(many(10, 1024 ** 3)).isMuch, total(many(10, 1024 ** 3 + 1)).isMuch]).toEqual([false, true]);
});

test('of a long list the part on the screen is drawn, and the rest keeps its height', () => {
  const items = Array.from({ length: 1_000 }, () => ({ height: 50 }));
  for (const top of [-300, 0, 5_000, 25_000, 49_000, 60_000]) {
    const { from, to, above, below } = partOf(items, { top, bottom: top + 900 });
    expect([top, above + (to - from) * 50 + below]).toEqual([top, 50_000]);
    expect(to - from).toBeLessThan(40);
    if (top >= 0 && top < 49_100)
      expect([above <= top, above + (to - from) * 50 >= Math.min(50_000, top + 900)]).toEqual([true, true]);
  }
  expect(partOf([], { top: 0, bottom: 900 })).toEqual({ from: 0, to: 0, above: 0, below: 0 });
});
