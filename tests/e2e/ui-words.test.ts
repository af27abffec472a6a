/** What the verdict says in each canned state; the words alone, without a browser. */
import { afterEach, expect, test } from 'bun:test';
import { lostWords, verdictWords } from '../../src/page/text/verdict.ts';
import { plainText, type VerdictWords } from '../../src/page/text/verdict-parts.ts';
import type { Activity, Backup, Status } from '../../src/http/contract.ts';
import { type Fixture, type State, startFixture, states } from './ui-fixture.ts';

const fixtures: Fixture[] = [];
afterEach(async () => {
  for (const fixture of fixtures.splice(0)) await fixture.stop();
});

async function wordsOf(state: State, change: (status: Status) => Partial<Status> = () => ({})): Promise<VerdictWords> {
  const fixture = startFixture(state);
  fixtures.push(fixture);
  const ask = async <Answer>(path: string) => (await (await fetch(`${fixture.url}api/${path}`)).json()) as Answer;
  const told = await ask<Status>('status');
  const status = { ...told, ...change(told) };
  const { backups } = await ask<{ backups: Backup[] }>('backups');
  const activity = await ask<Activity>('activity');
  const now = Date.parse(status.serverTime);
  return verdictWords({ status, backups, activity, now, zone: 'Europe/Berlin', ownRun: null });
}

test.each([...states])('in the state "%s" it says what is, in at most three facts', async (state) => {
  const words = await wordsOf(state);
  expect(words.headline).not.toBe('');
  expect(plainText(words.say)).toMatch(/[.!?]$/);
  expect(words.facts.length).toBeLessThanOrEqual(3);
  // A restore cannot be stopped; all else offers something to press.
  expect(words.actions.length > 0).toBe(state !== 'restoring');
  expect(words.actions.includes('configure')).toBe(state !== 'restoring');
});

test('a backup that is too old comes with what was missed, and why', async () => {
  const { facts } = await wordsOf('too-old');
  expect(facts.map(({ text }) => text.replace(/\d:\d\d$/, '…'))).toEqual([
    '19 planned runs did not happen',
    'The app was not running from 08:22 to 11:31.',
    'Next backup in …',
  ]);
});

test('a failed run names the step, the good backup before it and the next try', async () => {
  const { facts, actions } = await wordsOf('failed');
  expect(facts.map(({ text }) => text.replace(/\d:\d\d$/, '…'))).toEqual([
    'Run 11:30:00 stopped at “Copy”',
    '11:20 is verified, with a copy in S3',
    'Next backup in …',
  ]);
  expect(actions).toEqual(['configure', 'show-run', 'retry']);
});

test('a refusal is told in the words of the server, not as a lost contact', () => {
  const words = lostWords({
    now: 0,
    zone: 'UTC',
    retryMs: 1000,
    refusal: { message: 'this is not allowed for you', hint: 'Sign in with an account that may manage backups.' },
    knownSomething: false,
    before: null,
  });
  expect(words.headline).toBe('You may not see this page');
  expect(plainText(words.say)).toBe(
    'This is not allowed for you. Sign in with an account that may manage backups. Backups go on without this page.',
  );
});

test('a loss is told by its worst table, or by what the database holds, with seconds where one minute saw both', async () => {
  const lossOf = (loss: Partial<NonNullable<Status['loss']>>) =>
    wordsOf('loss', (status) => ({ loss: status.loss && { ...status.loss, ...loss } }));
  const gone = await lossOf({ tables: [{ name: 'a\u202eb', before: 8310, after: null }] });
  expect([gone.subject, gone.headline]).toEqual(['ab', 'ab had 8,310 rows at 11:20 and is gone since 11:30']);
  const pages = await lossOf({ tables: [], beforeAt: '2026-11-22T10:29:50.000Z', at: '2026-11-22T10:29:58.000Z' });
  expect(pages.headline).toBe('31% of what was in the database at 11:29:50 is gone since 11:29:58');
});

test('what was before a loss is called safe only as long as it is there', async () => {
  const words = await wordsOf('loss', (status) => ({
    loss: status.loss && { ...status.loss, before: 'backup-2026-11-01T10-00-00-000Z.sqlite', dayBefore: null },
  }));
  expect(plainText(words.say)).toBe('The backups from before are not here any more. Backups go on.');
  expect(words.actions).not.toContain('restore-before');
});

test('a machine that was set back is told so by the server, with the command that says that it is the right one', async () => {
  const words = await wordsOf('cloned', ({ places, verdict }) => ({
    places: places.map((place) => ({ ...place, writer: null })),
    verdict: { ...verdict, detail: 'S3 holds a backup that this machine made and does not remember' },
  }));
  expect(plainText(words.say)).toBe(
    'S3 holds a backup that this machine made and does not remember. Local backups go on. If this machine is the right one, say so: velist-backup claim --target s3.',
  );
});
