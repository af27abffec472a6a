/**
 * What a search of the history means. A day ("21 nov", "yesterday") shows that day; a day with a time ("yesterday 17:00")
 * also finds the newest good backup from before then. Everything else is words that must all be in a row's text. Pure:
 * days and times are compared as they are written in the chosen zone.
 */

export interface Searched {
  /** As 2026-11-22. */
  readonly day: string;
  /** As 17:02:00. */
  readonly time: string;
  /** Small letters. */
  readonly text: string;
  /** It can be relied on to hold what was there at its moment. */
  readonly isGood: boolean;
}

interface Found<Entry> {
  readonly entries: readonly Entry[];
  /** The newest good one from before the moment that is searched for. */
  readonly held: Entry | null;
}

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const dayMs = 86_400_000;

/** @param entries newest first. @param today as 2026-11-22. */
export function searchHistory<Entry extends Searched>(
  wanted: string,
  entries: readonly Entry[],
  today: string,
): Found<Entry> {
  const words = wanted
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((word) => word !== '');
  if (words.length === 0) return { entries, held: null };
  const time = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(words.at(-1) ?? '');
  const day = dayOf(time ? words.slice(0, -1) : words, today);
  if (day === null)
    return { entries: entries.filter(({ text }) => words.every((word) => text.includes(word))), held: null };
  const until = time && `${day} ${time[1]?.padStart(2, '0')}:${time[2]}:59`;
  const held = until ? (entries.find((entry) => entry.isGood && `${entry.day} ${entry.time}` <= until) ?? null) : null;
  return { entries: entries.filter((entry) => entry.day === day || entry === held), held };
}

/** "today", "2026-11-21", "21 nov", "21 November 2025"; without a year the last such day. */
function dayOf(words: readonly string[], today: string): string | null {
  const text = words.join(' ');
  if (text === 'today') return today;
  if (text === 'yesterday') return new Date(Date.parse(today) - dayMs).toISOString().slice(0, 10);
  if (/^\d{4}-\d{2}-\d{2}$/.test(text)) return text;
  const [, a, b = '', year] = /^(\d{1,2})\.? ([a-z]{3,9})(?: (\d{4}))?$/.exec(text) ?? [];
  const month = months.indexOf(b.slice(0, 3)) + 1;
  if (a === undefined || month === 0) return null;
  const rest = `-${String(month).padStart(2, '0')}-${a.padStart(2, '0')}`;
  const thisYear = Number(today.slice(0, 4));
  return (year ?? String(`${thisYear}${rest}` > today ? thisYear - 1 : thisYear)) + rest;
}
