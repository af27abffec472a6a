/** What the verdict says in each canned state; the words alone, without a browser. */
import { afterEach, expect, test } from 'bun:test';
import { lostWords, verdictWords } from '../../src/features/backup/pages/verdict.ts';
import { plainText, type VerdictWords } from '../../src/features/backup/pages/verdict-parts.ts';
import type { Activity, Backup, Status } from '../../src/http/contract.ts';
import { type Fixture, type State, startFixture, states } from './ui-fixture.ts';

const fixtures: Fixture[] = [];
afterEach(async () => {
  for (const fixture of fixtures.splice(0)) await fixture.stop();
});

async function wordsOf(state: State): Promise<VerdictWords> {
  const fixture = startFixture(state);
  fixtures.push(fixture);
  const ask = async <Answer>(path: string) => (await (await fetch(`${fixture.url}api/${path}`)).json()) as Answer;
  const status = await ask<Status>('status');
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
  expect(actions).toEqual(['show-run', 'retry']);
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
