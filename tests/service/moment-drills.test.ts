/** Drills of captured moments: what they prove, what they find before anybody restores, and how long a failure stands. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pickMoment } from '../../src/engine/stories/drill-moment.ts';
import { BackupError } from '../../src/words/errors.ts';
import { capturedShops, capturing, flip, order, segmentsEndingAt, untilStatus } from '../support/captured-shop.ts';
import { refusal } from '../support/scratch.ts';

setDefaultTimeout(120_000);
const { startShop } = capturedShops();

/** Four orders, each a moment with a mark. */
async function markedShop(more: Parameters<typeof startShop>[0] = {}) {
  const shop = await startShop(more);
  await capturing(shop.service);
  const marks: string[] = [];
  for (const name of ['one', 'two', 'three', 'four']) {
    await order(shop.app, name);
    marks.push((await shop.service.mark(name)).bookmark);
  }
  const hidden = () =>
    readdirSync(join(shop.place, 'backups')).filter((name) => /^\.(drill-|velist-moment)/.test(name));
  return { ...shop, marks, hidden };
}

function flipMoment(stream: string, bookmark: string): void {
  for (const segment of segmentsEndingAt(stream, bookmark)) flip(segment);
}

test('a drill proves a captured moment beside the newest backup, leaves nothing, and the status says so', async () => {
  const { service, hidden, marks } = await markedShop();
  const { filename = '' } = await service.performBackup();
  const { ok, drills } = await service.drill({ user: 'ada' });
  expect([ok, drills.map(({ result, target }) => [result, target])]).toEqual([
    true,
    [
      ['proven', 'local'],
      ['proven', 'local'],
    ],
  ]);
  expect([drills[0]?.backup, drills[0] && 'moment' in drills[0]]).toEqual([filename, false]);
  const { backup: bookmark, moment } = drills[1] ?? {};
  expect([bookmark, moment]).toEqual([expect.stringMatching(/^[0-9a-f]{16}$/), expect.any(Date)]);
  expect(hidden()).toEqual([]);
  const status = await service.getStatus();
  expect(status.continuous?.drill).toMatchObject({ result: 'proven', bookmark, moment });
  expect(status.freshness.targets[0]?.proven?.backup).toBe(filename);
  expect(service.getRuns({ kind: 'drill' })[0]).toMatchObject({
    backup: bookmark,
    user: 'ada',
    drill: { proof: 'restored' },
  });
  // Only the place of the stream has moments, and `at` means one alone.
  const named = await service.drill({ at: 'two' });
  expect(named.drills).toMatchObject([{ backup: marks[1], result: 'proven' }]);
  expect((await refusal(() => service.drill({ at: 'two', target: 's3' }))).code).toBe('BAD_REQUEST');
});

test('any moment may be drawn, not the newest alone', async () => {
  const { stream, marks, service, app } = await markedShop();
  const drawn = new Set<string>();
  const draws = Array.from({ length: 40 }, (_, k) => k / 40);
  for (const dice of draws)
    drawn.add((await pickMoment({ kind: 'pick-moment', folder: stream, dice: [0, dice] })).bookmark);
  expect(marks.filter((bookmark) => !drawn.has(bookmark))).toEqual([]);
  await order(app, 'five');
  await service.mark('five');
  // The coarsest, and of these the oldest.
  const oldest = await pickMoment({ kind: 'pick-moment', folder: stream, dice: [0.99, 0] });
  expect(oldest.bookmark < (marks[0] ?? '')).toBe(true);
});

test('a damaged segment fails the drill and turns the verdict until that moment or a newer one is proven', async () => {
  const { service, marks, stream } = await markedShop();
  await service.performBackup();
  const [first = '', second = '', , last = ''] = marks;
  flipMoment(stream, second);
  const { ok, drills } = await service.drill({ at: second });
  expect([ok, drills[0]?.result, drills[0]?.error?.code]).toEqual([false, 'failed', 'BAD_BACKUP']);
  const failing = async () => {
    const { verdict, continuous, failedCheck, freshness } = await service.getStatus();
    return [verdict.code, failedCheck?.backup ?? null, continuous?.drill?.result, freshness.targets[0]?.drill?.result];
  };
  expect(await failing()).toEqual(['check-failed', second, 'failed', 'failed']);
  expect((await service.getStatus()).verdict.detail).toStartWith(
    `The drill of the moment ${second} in the folder failed:`,
  );
  // An older moment, or the newest backup, answers nothing.
  expect((await service.drill({ at: first })).ok).toBe(true);
  expect((await service.drill({ target: 'local', at: first })).ok).toBe(true);
  expect(await failing()).toEqual(['check-failed', second, 'failed', 'failed']);
  flipMoment(stream, second);
  expect((await service.drill({ at: last })).ok).toBe(true);
  expect((await failing()).slice(0, 3)).toEqual(['off', null, 'proven']);
});

test('a lost segment fails the drill: of any moment before there is a base behind it, then of those that need it', async () => {
  const { service, app, marks, stream } = await markedShop();
  for (const segment of segmentsEndingAt(stream, marks[2] ?? '')) rmSync(segment);
  const draw = async (dice: number) => {
    try {
      return (await pickMoment({ kind: 'pick-moment', folder: stream, dice: [0, dice] })).bookmark;
    } catch (error) {
      return BackupError.from(error).code;
    }
  };
  for (const dice of [0, 0.5, 0.99]) expect(await draw(dice)).toBe('STREAM_UNTRUE');
  const { drills } = await service.drill({ target: 'local' });
  expect(drills[1]).toMatchObject({ result: 'failed', backup: null, moment: null, error: { code: 'STREAM_UNTRUE' } });
  const { failedCheck } = await service.getStatus();
  expect(failedCheck).toMatchObject({ kind: 'drill', backup: null, why: expect.stringMatching(/^a segment behind/) });

  // A base behind the hole.
  await order(app, 'five');
  await service.performBackup();
  const drawn = await Promise.all(Array.from({ length: 20 }, (_, k) => draw(k / 20)));
  expect(new Set(drawn)).toContain('STREAM_UNTRUE');
  expect(new Set(drawn)).toContain(marks[1] ?? '');
  expect(new Set(drawn)).not.toContain(marks[3] ?? '');
});

test('a backup and the segments of its moment must say one state', async () => {
  const { service, place } = await markedShop();
  const { filename = '' } = await service.performBackup();
  const path = join(place, 'backups', `${filename}.json`);
  const manifest = JSON.parse(readFileSync(path, 'utf8'));
  const { bookmark, state } = manifest.position;
  expect((await service.drill({ at: bookmark })).ok).toBe(true);
  const other = state.startsWith('0') ? '1' : '0';
  writeFileSync(
    path,
    JSON.stringify({ ...manifest, position: { ...manifest.position, state: other + state.slice(1) } }),
  );
  const { drills } = await service.drill({ at: bookmark });
  expect([drills[0]?.result, drills[0]?.error?.code]).toEqual(['failed', 'STREAM_UNTRUE']);
});

test('the statements of the owner are asked of a moment that somebody names, and not of one that is drawn', async () => {
  const { service } = await markedShop({ drills: { scheduled: false, sql: 'SELECT count(*) = 4 FROM orders' } });
  await service.performBackup();
  expect((await service.drill({ at: 'four' })).drills[0]).toMatchObject({ result: 'proven', assertions: 1 });
  expect((await service.drill({ at: 'one' })).drills[0]?.error?.code).toBe('DRILL_FAILED');
  expect((await service.drill()).drills[1]).toMatchObject({ result: 'proven', assertions: 0 });
});

test('a moment that is not there is an answer, and proves nothing', async () => {
  const { service } = await markedShop();
  await service.performBackup();
  expect((await service.drill({ at: '00000000000000ff' })).drills[0]?.error?.code).toBe('NO_MOMENT');
  expect((await service.getStatus()).verdict.code).toBe('off');
});

test('a stream that holds no moment yet is nothing to drill, and no failure', async () => {
  const { service, stream } = await markedShop();
  const { filename } = await service.performBackup();
  service.pauseContinuous();
  await untilStatus(service, ({ continuous }) => continuous?.phase === 'paused');
  rmSync(join(stream, 'ltx'), { recursive: true });
  expect(await service.drill()).toMatchObject({ ok: true, drills: [{ backup: filename, result: 'proven' }] });
  expect(service.getRuns({ kind: 'drill' })).toHaveLength(1);
});

test('the schedule drills a moment once a day', async () => {
  let aheadMs = 0;
  const { service } = await markedShop({
    now: () => new Date(Date.now() + aheadMs),
    drills: { scheduled: true, sql: null },
  });
  await service.performBackup();
  let minutes = 11;
  const drilled = async (count: number) => {
    for (;;) {
      const runs = service.getRuns({ kind: 'drill' }).filter(({ drill }) => drill?.moment !== undefined);
      if (runs.length >= count) return runs;
      // A change of the interval wakes the schedule.
      service.updateConfig({ intervalMinutes: minutes++ });
      await Bun.sleep(50);
    }
  };
  service.updateConfig({ enabled: true });
  aheadMs = 11 * 60_000;
  const [first] = await drilled(1);
  expect([first?.trigger, first?.result]).toEqual(['schedule', 'success']);
  aheadMs += 25 * 3_600_000;
  expect((await drilled(2)).map(({ trigger }) => trigger)).toEqual(['schedule', 'schedule']);
});
