/** Deciding who the writer is, case by case and without a target. */
import { describe, expect, test } from 'bun:test';
import { judgeWriter, type Life, type Us } from './judge.ts';
import type { SeenEpoch } from './objects.ts';

const us: Us = { installation: 'ours', token: 'this start', isFirst: true, held: null, taking: null };
const earlier = { token: 'an earlier start', beats: 7, isHeld: true };

function newest(token: string, installation: string, isReleased = false): Pick<SeenEpoch, 'writer' | 'isReleased'> {
  const writer = {
    ...{ format: 'velist-backup-writer/1' as const, token, installation, host: 'a host', databaseId: null, path: '' },
    ...{ at: '2026-01-01T00:00:00.000Z', everyMs: 600_000, beat: 'beat', claimed: false },
  };
  return { writer, isReleased };
}

describe('a place', () => {
  test('where nobody ever wrote is free', () => {
    expect(judgeWriter(null, us)).toBe('take');
    expect(judgeWriter(null, { ...us, held: earlier })).toBe('take');
  });

  test.each(['ours', 'theirs'])(
    'that its writer (%s) released is free, and nobody is asked for a sign of life',
    (id) => {
      expect(judgeWriter(newest('any', id, true), us)).toBe('take');
      expect(judgeWriter(newest(earlier.token, id, true), { ...us, held: earlier })).toBe('take');
    },
  );

  test('that this start took is ours without a further question', () => {
    expect(judgeWriter(newest('this start', 'ours'), us)).toBe('hold');
    expect(judgeWriter(newest('this start', 'ours'), { ...us, isFirst: false })).toBe('hold');
  });

  test.each<[Life, ReturnType<typeof judgeWriter>]>([
    [{}, { learn: 'silence' }],
    [{ beats: 0, isSilent: false }, 'other'],
    [{ beats: 0, isSilent: true }, 'take'],
  ])('of another installation, knowing %o: %o', (life, outcome) => {
    expect(judgeWriter(newest('theirs', 'theirs'), us, life)).toEqual(outcome);
    expect(judgeWriter(newest('theirs', 'theirs'), { ...us, held: earlier, taking: 'lost' }, life)).toEqual(outcome);
  });

  test('whose writer can not be read is free only when it was silent', () => {
    const unreadable = { writer: null, isReleased: false };
    expect(judgeWriter(unreadable, us, { isSilent: false })).toBe('other');
    expect(judgeWriter(unreadable, us, { isSilent: true })).toBe('take');
  });
});

describe('after a start that was not released', () => {
  const found = newest(earlier.token, 'ours');
  const again = { ...us, held: earlier };

  test('the next start takes an epoch of its own, whether the heartbeat is young or not', () => {
    expect(judgeWriter(found, again)).toEqual({ learn: 'beats' });
    for (const beats of [0, 6, 7]) expect(judgeWriter(found, again, { beats })).toBe('take');
  });

  test('a heartbeat that was renewed more often than we know is a clone’s while it lives, and nobody’s afterwards', () => {
    expect(judgeWriter(found, again, { beats: 8 })).toEqual({ learn: 'silence' });
    expect(judgeWriter(found, again, { beats: 8, isSilent: false })).toBe('clone');
    expect(judgeWriter(found, again, { beats: 8, isSilent: true })).toBe('take');
  });

  test('the command line writes beside the running service, and takes over from one that died', () => {
    const beside = { ...again, isFirst: false };
    expect(judgeWriter(found, beside, { beats: 7 })).toEqual({ learn: 'silence' });
    expect(judgeWriter(found, beside, { beats: 7, isSilent: false })).toBe('hold');
    expect(judgeWriter(found, beside, { beats: 7, isSilent: true })).toBe('take');
    expect(judgeWriter(found, beside, { beats: 8, isSilent: false })).toBe('clone');
  });

  test('what a command claimed is taken by the first process that writes', () => {
    const claimed = { ...again, isFirst: false, held: { ...earlier, isHeld: false } };
    expect(judgeWriter(found, claimed, { beats: 0 })).toBe('take');
    expect(judgeWriter(found, claimed, { beats: 8, isSilent: false })).toBe('clone');
  });

  test('an epoch that was taken a moment before the crash is ours', () => {
    const crashed = { ...us, held: earlier, taking: 'taken then' };
    expect(judgeWriter(newest('taken then', 'ours'), crashed, { beats: 0 })).toBe('take');
    expect(judgeWriter(newest('taken then', 'ours'), crashed, { beats: 1, isSilent: false })).toBe('clone');
  });

  test('an unknown token under our id is a clone’s while it lives', () => {
    const unknown = newest('unknown', 'ours');
    expect(judgeWriter(unknown, again, { beats: 0, isSilent: false })).toBe('clone');
    expect(judgeWriter(unknown, again, { beats: 0, isSilent: true })).toBe('take');
  });
});
