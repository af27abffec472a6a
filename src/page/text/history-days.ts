/** The history as it is listed: its chips, how dense a day is, and the safety copies that are folded. Pure. */
import type { Backup } from '../../http/contract.ts';
import type { Chip } from './chips.ts';
import { dayName, plural, shortTime, size } from './format.ts';
import { targetPhrase } from './targets.ts';

export type HistoryFilter = 'all' | 'pinned' | 'safety' | 'marked' | 'elsewhere';

const minuteMs = 60_000;
const dayMs = 86_400_000;
/** As retention keeps them. */
const safetyDays = 30;

/** Its loss, or a note that somebody wrote, such as that of a migration. */
export const isMarked = ({ loss, note, safety }: Backup): boolean => loss !== null || (note !== null && !safety);

const isStored = ({ placements }: Backup, isMeant: (target: string) => boolean): boolean =>
  placements.some(({ target, status }) => status === 'stored' && isMeant(target));

export function fitsFilter(backup: Backup, filter: HistoryFilter): boolean {
  switch (filter) {
    case 'all':
      return true;
    case 'pinned':
      return backup.pinned;
    case 'safety':
      return backup.safety;
    case 'marked':
      return isMarked(backup);
    case 'elsewhere':
      return !isStored(backup, (target) => target === 'local') && isStored(backup, (target) => target !== 'local');
  }
}

/** Those that show something. */
export function historyChips(backups: readonly Backup[]): readonly Chip<HistoryFilter>[] {
  const away = backups.filter((backup) => fitsFilter(backup, 'elsewhere'));
  const places = new Set(away.flatMap(({ placements }) => placements.map(({ target }) => target)));
  const [place] = places;
  const labels: Record<HistoryFilter, string> = {
    ...{ all: 'All', pinned: 'Pinned', safety: 'Safety copies', marked: 'Marked' },
    elsewhere: place !== undefined && places.size === 1 ? `Only in ${targetPhrase(place)}` : 'Only elsewhere',
  };
  const ids = Object.keys(labels) as HistoryFilter[]; // its own keys
  return ids.flatMap((id) => {
    const count = id === 'elsewhere' ? away.length : backups.filter((backup) => fitsFilter(backup, id)).length;
    return id === 'all' || count > 0 ? { id, label: labels[id], count } : [];
  });
}

/**
 * "one per hour", "one every 10 min", from the middle gap of a day; null if there is no rhythm to tell. Safety copies and
 * pinned ones are made or kept out of it.
 */
export function densityOf(day: readonly Backup[]): string | null {
  const times = day.filter(({ safety, pinned }) => !safety && !pinned).map(({ createdAt }) => Date.parse(createdAt));
  if (times.length < 4) return null;
  const gaps = times.slice(1).map((time, index) => Math.abs((times[index] ?? time) - time));
  const middle = gaps.toSorted((a, b) => a - b)[gaps.length >> 1] ?? 0;
  const minutes = Math.round(middle / minuteMs);
  // A day that is thinned half has two rhythms.
  if (gaps.filter((gap) => Math.abs(gap - middle) <= middle / 4).length < (gaps.length * 2) / 3 || minutes === 0)
    return null;
  if (minutes < 50) return minutes === 1 ? 'one per minute' : `one every ${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours === 1 ? 'one per hour' : `one every ${hours} hours`;
}

interface Fold<Entry> {
  /** The name of the newest. */
  readonly key: string;
  readonly folded: readonly Entry[];
}

/** Safety copies that follow each other are one line; a pinned one is somebody's choice, and one alone is as short. */
export function foldSafety<Entry extends { readonly backup: Backup }>(
  entries: readonly Entry[],
): readonly (Entry | Fold<Entry>)[] {
  const listed: (Entry | Fold<Entry>)[] = [];
  let run: Entry[] = [];
  const end = () => {
    const [first] = run;
    if (first && run.length > 1) listed.push({ key: first.backup.filename, folded: run });
    else listed.push(...run);
    run = [];
  };
  for (const entry of entries) {
    if (entry.backup.safety && !entry.backup.pinned) run.push(entry);
    else {
      end();
      listed.push(entry);
    }
  }
  end();
  return listed;
}

/** "4 safety copies" and "14:02 to 14:09 · 56.8 MB · made before a restore · removed on 22 December". */
export function foldWords(
  folded: readonly { readonly backup: Backup }[],
  { zone, now }: { readonly zone: string; readonly now: number },
): { readonly title: string; readonly more: string } {
  const times = folded.map(({ backup }) => Date.parse(backup.createdAt));
  const [from, to] = [Math.min(...times), Math.max(...times)];
  const [first, last] = [shortTime(from, zone), shortTime(to, zone)];
  const bytes = folded.reduce((sum, { backup }) => sum + backup.size, 0);
  const removed = dayName(to + safetyDays * dayMs, now, zone);
  return {
    title: plural(folded.length, 'safety copy', 'safety copies'),
    more: `${first === last ? first : `${first} to ${last}`} · ${size(bytes)} · made before a restore · removed on ${removed}`,
  };
}
