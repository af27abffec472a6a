/** What the overview says of each database, and in which order. Pure. */
import type { DatabaseRow } from '../../http/contract.ts';
import { age, ago, countdown, count, listed, moment, plural, shownName, size } from './format.ts';

/** In the order of the list: the worst first. */
export const groups = ['attention', 'look', 'working', 'protected'] as const;
export type Group = (typeof groups)[number];
export const groupWords: Readonly<
  Record<Group, { readonly heading: string; readonly tally: string; readonly short: string }>
> = {
  attention: { heading: 'Need attention', tally: 'need attention', short: 'urgent' },
  look: { heading: 'Worth a look', tally: 'worth a look', short: 'to check' },
  working: { heading: 'Working', tally: 'working', short: 'working' },
  protected: { heading: 'Protected', tally: 'protected', short: 'protected' },
};

const groupOfTone = { red: 'attention', amber: 'look', grey: 'look', blue: 'working', green: 'protected' } as const;
export const groupOf = ({ tone }: DatabaseRow): Group => groupOfTone[tone];

/** The worst group first, then by name. */
export function inOrder(rows: Iterable<DatabaseRow>): DatabaseRow[] {
  return [...rows].sort(
    (a, b) =>
      groups.indexOf(groupOf(a)) - groups.indexOf(groupOf(b)) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
}

export function tallies(rows: Iterable<DatabaseRow>): Record<Group, number> {
  const found = { attention: 0, look: 0, working: 0, protected: 0 };
  for (const row of rows) found[groupOf(row)]++;
  return found;
}

/** Every word of the search is in the name, the path or the state. */
export function isFound({ name, path, label }: DatabaseRow, search: string): boolean {
  const text = `${name} ${path} ${label}`.toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

const errandWords = {
  backup: { waiting: 'waiting for its turn', running: 'starting', done: 'backed up', failed: 'not backed up' },
  verify: {
    waiting: 'waiting to be checked',
    running: 'checking the newest backup',
    done: 'newest backup checked',
    failed: 'check failed',
  },
} as const;

/** How many of those that were asked for at once were taken on. */
export function askedText(act: keyof typeof errandWords, of: { readonly accepted: number; readonly asked: number }) {
  const word = act === 'backup' ? 'to back up' : 'to check';
  const isAll = of.accepted === of.asked;
  return {
    tone: 'plain',
    title: isAll ? `${of.accepted} ${word}` : `${of.accepted} of ${of.asked} ${word}`,
    lines: isAll ? [] : ['The others are being worked on or wait for it already, or you may not ask for them.'],
  } as const;
}

/** The small line below the state: how what was asked here went, else what is behind the state. */
export function reasonText({ errand, reason, code, lastGoodAt }: DatabaseRow, nowMs: number, zone: string): string {
  // While it is backed up, the run itself says more.
  if (errand && !(code === 'running' && errand.act === 'backup' && errand.state === 'running')) {
    const word = errandWords[errand.act][errand.state];
    return errand.detail === null ? word : `${word}: ${shownName(errand.detail)}`;
  }
  if (code === 'missing' && lastGoodAt !== null) return `newest good ${moment(Date.parse(lastGoodAt), nowMs, zone)}`;
  return shown(reason ?? '');
}

/** What comes out of a database or a machine is text, and may be long: the cell is cut, and its title has the rest. */
function shown(text: string): string {
  return text.split(' ').map(shownName).join(' ');
}

export function stateText({ label, percent, code }: DatabaseRow): string {
  return code === 'running' && percent !== null ? `${label} ${percent}%` : label;
}

export function nextText({ code, nextRunAt }: DatabaseRow, nowMs: number): string {
  if (code === 'running') return 'now';
  if (code === 'missing') return 'waiting';
  if (nextRunAt === null) return 'none';
  const leftMs = Date.parse(nextRunAt) - nowMs;
  return leftMs < 3_600_000 ? countdown(leftMs) : age(leftMs);
}

export const lastGoodText = ({ lastGoodAt }: DatabaseRow, nowMs: number): string =>
  lastGoodAt === null ? 'none' : ago(Date.parse(lastGoodAt), nowMs);

/** Where its page helps at once; else it opens. */
export function actionOf({ code, page, lastGoodAt }: DatabaseRow): { readonly label: string; readonly page: string } {
  if (code === 'missing' && lastGoodAt !== null) return { label: 'Bring back…', page: `${page}#bring-back` };
  if (code === 'loss') return { label: 'See…', page: `${page}#loss` };
  return { label: 'Open', page };
}

const kindWords = { local: 'folder', bucket: 'S3', folder: 'another folder' } as const;
const placeStates = { stored: 'in order', waiting: 'waiting', failing: 'not reachable' } as const;

export function placeText({ target, kind, state }: DatabaseRow['places'][number]): string {
  const name = target === 'local' || target === 's3' ? '' : ` ${target}`;
  return `${kindWords[kind]}${name}: ${target === 'local' && state === 'waiting' ? 'no backup yet' : placeStates[state]}`;
}

const letterWords = { k: 'good', w: 'not at a target', f: 'failed', m: 'missed' } as const;

/** The bars in words. */
export function stripText(strip: string): string {
  const told = Object.entries(letterWords).flatMap(([letter, word]) => {
    const found = strip.split(letter).length - 1;
    return found === 0 ? [] : [`${found} ${word}`];
  });
  return `Last 24 hours: ${told.length === 0 ? 'no runs' : told.join(', ')}`;
}

const ASKS_ABOVE = 20;
const ASKS_ABOVE_BYTES = 10 * 1024 ** 3;

export function total(rows: readonly DatabaseRow[]): { readonly bytes: number; readonly isMuch: boolean } {
  const bytes = rows.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return { bytes, isMuch: rows.length > ASKS_ABOVE || bytes > ASKS_ABOVE_BYTES };
}

export function muchText(rows: readonly DatabaseRow[]): string {
  return `${plural(rows.length, 'database')}, ${size(total(rows).bytes)}. At most 4 at a time.`;
}

/** For the title of the tab. */
export function tabText(found: Readonly<Record<Group, number>>): string {
  if (found.attention > 0) return `! ${count(found.attention)} need attention`;
  return found.look > 0 ? `${count(found.look)} worth a look` : 'Protected';
}

/** For screen readers, when something becomes urgent. */
export const urgentText = (rows: readonly DatabaseRow[]): string =>
  `${listed(rows.map(({ name }) => name))}: ${rows.length === 1 ? rows[0]?.label : 'attention is needed'}`;
