/**
 * How the page writes sizes, durations and moments. Pure: the zone and "now" are handed in, and "now" is always the
 * server's. Sizes count in 1024 with KB, MB, GB and three significant digits; clocks have 24 hours.
 */

const units = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'];
const secondMs = 1000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // 1023.6 KB would be written as "1024 KB": what rounds to the next unit belongs to it.
  while (Math.round(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${Number(value.toFixed(digits))} ${units[unit]}`;
}

export function exactSize(bytes: number): string {
  return `${count(bytes)} bytes`;
}

/** A difference in bytes with its sign (a true minus), or "same size". */
export function sizeChange(bytes: number): string {
  if (bytes === 0) return 'same size';
  return `${bytes > 0 ? '+' : '−'}${size(Math.abs(bytes))}`;
}

export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** A difference in rows with its sign (a true minus). */
export function countChange(value: number): string {
  if (value === 0) return '0';
  return `${value > 0 ? '+' : '−'}${count(Math.abs(value))}`;
}

/** "1 backup", "3 backups". */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** 412 ms, 1.4 s, 42 s, 5 min, 3 h 14 min, 2 days 5 h. */
export function duration(ms: number): string {
  if (ms < secondMs) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 9.95 * secondMs) return `${(ms / secondMs).toFixed(1)} s`;
  if (ms < minuteMs) return `${Math.floor(ms / secondMs)} s`;
  if (ms < hourMs) return `${Math.floor(ms / minuteMs)} min`;
  if (ms < 2 * dayMs) return pair(Math.floor(ms / hourMs), 'h', Math.floor((ms % hourMs) / minuteMs), 'min');
  return pair(Math.floor(ms / dayMs), 'days', Math.floor((ms % dayMs) / hourMs), 'h');
}

/** The same for a setting in minutes: 10 minutes, 1 hour, 2 days, 1 h 40 min. */
export function minutes(value: number): string {
  if (value % 1440 === 0) return plural(value / 1440, 'day');
  if (value % 60 === 0) return plural(value / 60, 'hour');
  if (value < 60) return plural(value, 'minute');
  return duration(value * minuteMs);
}

/** How the interval is written on its card: Every 10m, Every 1h, Every 1d. */
export function shortInterval(value: number): string {
  if (value % 1440 === 0) return `Every ${value / 1440}d`;
  if (value % 60 === 0) return `Every ${value / 60}h`;
  return `Every ${value}m`;
}

/** "just now", "12 s ago", "4 min ago", "1 h 34 min ago", "18 h ago", "3 days ago". */
export function ago(fromMs: number, nowMs: number): string {
  const past = nowMs - fromMs;
  return past < 2 * secondMs ? 'just now' : `${age(past)} ago`;
}

/** Like `duration`, but coarser the longer it is: nobody needs the minutes of yesterday. */
export function age(ms: number): string {
  if (ms < minuteMs) return `${Math.max(0, Math.floor(ms / secondMs))} s`;
  if (ms < 10 * hourMs) return duration(ms);
  if (ms < 2 * dayMs) return `${Math.floor(ms / hourMs)} h`;
  return `${Math.floor(ms / dayMs)} days`;
}

/** Time left as 0:42, 5:42 or 1:05:42; never below zero. */
export function countdown(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / secondMs));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), seconds % 60];
  const tail = String(s).padStart(2, '0');
  return h > 0 ? `${h}:${String(m).padStart(2, '0')}:${tail}` : `${m}:${tail}`;
}

/** 11:30:00, with the offset appended in the hour that autumn has twice. */
export function clockTime(ms: number, zone: string): string {
  const text = formatter(zone, { timeStyle: 'medium' }).format(ms);
  return isDoubled(ms, zone) ? `${text} ${offset(ms, zone)}` : text;
}

/** 11:30 */
export function shortTime(ms: number, zone: string): string {
  return formatter(zone, { timeStyle: 'short' }).format(ms);
}

/** The hour on the wall, 0 to 23. */
export function localHour(ms: number, zone: string): number {
  return Number(formatter(zone, { hour: '2-digit', hourCycle: 'h23' }).format(ms));
}

/** 11:30, with seconds where another moment would look the same, and the offset where the hour comes twice. */
export function listTime(ms: number, zone: string, options: { readonly hasSeconds: boolean }): string {
  return options.hasSeconds || isDoubled(ms, zone) ? clockTime(ms, zone) : shortTime(ms, zone);
}

/** 22 Nov 2026, 11:20:00 */
export function fullTime(ms: number, zone: string): string {
  return formatter(zone, { dateStyle: 'medium', timeStyle: 'medium' }).format(ms);
}

/** 16 Nov */
export function dayAndMonth(ms: number, zone: string): string {
  return formatter(zone, { day: 'numeric', month: 'short' }).format(ms);
}

/** "11:30" for a moment of today, "21 November, 11:30" for another day. */
export function moment(ms: number, nowMs: number, zone: string): string {
  const time = shortTime(ms, zone);
  return dayKey(ms, zone) === dayKey(nowMs, zone) ? time : `${dayName(ms, nowMs, zone)}, ${time}`;
}

/** Two moments as `moment` says them; with seconds where they would look alike. */
export function momentsApart(pair: readonly [number, number], nowMs: number, zone: string): readonly [string, string] {
  const [a, b] = pair.map((ms) => moment(ms, nowMs, zone));
  if (a !== b) return [a ?? '', b ?? ''];
  const [c, d] = pair.map((ms) => moment(ms, nowMs, zone).replace(shortTime(ms, zone), clockTime(ms, zone)));
  return [c ?? '', d ?? ''];
}

/** "11:20 today", "11:20 yesterday", "11:20 on 20 November". */
export function dayTime(ms: number, nowMs: number, zone: string): string {
  const day = dayKey(ms, zone);
  const word = day === dayKey(nowMs, zone) ? 'today' : day === dayKey(nowMs - dayMs, zone) ? 'yesterday' : undefined;
  return `${shortTime(ms, zone)} ${word ?? `on ${dayName(ms, nowMs, zone)}`}`;
}

/** "Today, 22 November", "Yesterday, 21 November", "20 November", "3 March 2025". */
export function dayHeading(ms: number, nowMs: number, zone: string): string {
  const name = dayName(ms, nowMs, zone);
  const day = dayKey(ms, zone);
  if (day === dayKey(nowMs, zone)) return `Today, ${name}`;
  if (day === dayKey(nowMs - dayMs, zone)) return `Yesterday, ${name}`;
  return name;
}

/** The day as 2026-11-22, for grouping. */
export function dayKey(ms: number, zone: string): string {
  return keyFormatter(zone).format(ms);
}

/** "UTC+1", "UTC−3:30", "UTC". */
export function offset(ms: number, zone: string): string {
  const parts = formatter(zone, { timeZoneName: 'shortOffset' }).formatToParts(ms);
  const name = parts.find((part) => part.type === 'timeZoneName')?.value ?? 'UTC';
  return name.replace('GMT', 'UTC').replace('UTC+0', 'UTC').replace('-', '−');
}

/** "Europe/Berlin" as "Berlin time". */
export function zoneName(zone: string): string {
  return zone === 'UTC' ? 'UTC' : `${(zone.split('/').at(-1) ?? zone).replaceAll('_', ' ')} time`;
}

/** The moment in a backup's name, or null for another name. */
export function nameTime(filename: string): number | null {
  const match = /^backup-(\d{4}-\d{2}-\d{2})T(\d{2})-(\d{2})-(\d{2})-(\d{3})Z\.sqlite$/.exec(filename);
  if (match === null) return null;
  const [, day, h, m, s, ms] = match;
  const time = Date.parse(`${day}T${h}:${m}:${s}.${ms}Z`);
  return Number.isNaN(time) ? null : time;
}

const nameLetters = 60;

/** A name out of a database: control characters are shown as signs, those that turn the line are left out, long ones cut. */
export function shownName(name: string): string {
  const plain = [...name.replaceAll(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '')].map((letter) => {
    const code = letter.codePointAt(0) ?? 0;
    return code < 32 ? String.fromCodePoint(0x2400 + code) : code === 127 ? '\u2421' : letter;
  });
  return plain.length > nameLetters ? `${plain.slice(0, nameLetters).join('')}…` : plain.join('');
}

/** "orders", "orders and users", "orders, users and 3 more". */
export function listed(names: readonly string[], most = 3): string {
  if (names.length > most) return `${names.slice(0, most - 1).join(', ')} and ${count(names.length - most + 1)} more`;
  const last = names.at(-1) ?? '';
  return names.length > 1 ? `${names.slice(0, -1).join(', ')} and ${last}` : last;
}

/** A server's message as a sentence: first letter large, full stop at the end. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === '') return '';
  // A path or a name in code keeps its letters.
  const first = /^[a-z][a-z]*[\s,]/.test(trimmed) ? trimmed.charAt(0).toUpperCase() + trimmed.slice(1) : trimmed;
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

/** An error in the server's words: what happened, then what to do. */
export function said(error: { message: string; hint: string }): string {
  return `${sentence(error.message)} ${sentence(error.hint)}`.trim();
}

/** "22 November", with the year if it is another one. */
export function dayName(ms: number, nowMs: number, zone: string): string {
  const sameYear = dayKey(ms, zone).slice(0, 4) === dayKey(nowMs, zone).slice(0, 4);
  return formatter(zone, {
    day: 'numeric',
    month: 'long',
    ...(sameYear ? {} : { year: 'numeric' }),
  }).format(ms);
}

function isDoubled(ms: number, zone: string): boolean {
  if (zone === 'UTC') return false;
  const wall = (at: number) => formatter(zone, { dateStyle: 'short', timeStyle: 'medium' }).format(at);
  return wall(ms) === wall(ms - hourMs) || wall(ms) === wall(ms + hourMs);
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

// Making a formatter costs more than a hundred uses of it, and a long list asks for three a row.
const formatters = new Map<string, Intl.DateTimeFormat>();

function formatter(zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  return remembered('en-GB', zone, options);
}

function keyFormatter(zone: string): Intl.DateTimeFormat {
  return remembered('en-CA', zone, { dateStyle: 'short' });
}

function remembered(locale: string, zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${locale} ${zone} ${JSON.stringify(options)}`;
  const known = formatters.get(key);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat(locale, { ...options, timeZone: zone });
  formatters.set(key, made);
  return made;
}
