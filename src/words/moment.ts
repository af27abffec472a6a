/**
 * A moment as people say it: `2024-01-15 10:30`, `10:30`, `yesterday 18:00`, `2 hours ago`. Without a zone it is local time
 * of the process that reads it, so whoever answers says which zone that was (`sayMoment`).
 */

const CLOCK = String.raw`(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d{1,3})?))?`;
const forms = {
  clock: new RegExp(`^${CLOCK}$`),
  day: new RegExp(`^(today|yesterday)(?: (?:at )?${CLOCK})?$`),
  date: new RegExp(`^(\\d{4})-(\\d{2})-(\\d{2})(?:[t ]${CLOCK})?$`),
  zoned: /^\d{4}-\d{2}-\d{2}[t ]\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(z|[+-]\d{2}:?\d{2})$/,
  ago: /^(an?|\d{1,6}) ?(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?) ago$/,
};

const SECOND_MS = 1_000;
const unitMs: Readonly<Record<string, number>> = { s: SECOND_MS, m: 60 * SECOND_MS, h: 3_600 * SECOND_MS };
const unitDays: Readonly<Record<string, number>> = { d: 1, w: 7 };

type DayPart = 'end' | 'beginning';

/** For messages about a text that is none. */
export const MOMENT_FORMS = '2024-01-15T10:30, 2024-01-15T10:30:00Z, 10:30, yesterday 18:00 or 2 hours ago';

/**
 * A day alone means its end, or its beginning if the moment is where something begins. A time alone means the last time that
 * it was so late. Hours are counted by the clock that goes on, days by the calendar. Null for a text that says no moment.
 */
export function parseMoment(text: string, now: Date, dayAlone: DayPart = 'end'): Date | null {
  const said = text.trim().toLowerCase().replace(/\s+/g, ' ');
  if (forms.zoned.test(said)) return validOrNull(new Date(said.replace(' ', 't').toUpperCase()));
  const ago = forms.ago.exec(said);
  if (ago) return momentAgo(ago, now);
  const clock = forms.clock.exec(said);
  if (clock) return lastTime(clock.slice(1), now);
  const day = forms.day.exec(said);
  if (day) return onDay(daysBefore(now, day[1] === 'today' ? 0 : 1), day.slice(2), dayAlone);
  const date = forms.date.exec(said);
  if (!date) return null;
  const [year, month, dayOfMonth] = date.slice(1, 4).map(Number) as [number, number, number]; // three groups of digits
  const midnight = new Date(year, month - 1, dayOfMonth);
  const isReal = midnight.getMonth() === month - 1 && midnight.getDate() === dayOfMonth;
  return isReal ? onDay(midnight, date.slice(4), dayAlone) : null;
}

/** `2024-01-15 10:30:00 Europe/Berlin (09:30:00 UTC)`, in the zone of this process unless told. */
export function sayMoment(moment: Date, timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone): string {
  const local = new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'medium', timeZone }).format(moment);
  const utc = moment.toISOString();
  if (timeZone === 'UTC') return `${local} UTC`;
  const isSameDay = utc.startsWith(local.slice(0, 10));
  return `${local} ${timeZone} (${isSameDay ? '' : `${utc.slice(0, 10)} `}${utc.slice(11, 19)} UTC)`;
}

function momentAgo([, count = '', unit = '']: RegExpExecArray, now: Date): Date | null {
  const number = count.startsWith('a') ? 1 : Number(count);
  const [letter = ''] = unit;
  const days = unitDays[letter];
  if (days === undefined) return validOrNull(new Date(now.getTime() - number * (unitMs[letter] ?? Number.NaN)));
  const then = new Date(now);
  then.setDate(then.getDate() - number * days);
  return validOrNull(then);
}

function lastTime(clock: readonly (string | undefined)[], now: Date): Date | null {
  const today = onDay(daysBefore(now, 0), clock);
  return today === null || today <= now ? today : onDay(daysBefore(now, 1), clock);
}

function daysBefore(now: Date, days: number): Date {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() - days);
}

/** At that time of the day; at its end or beginning if none is given. */
function onDay(
  midnight: Date,
  [hour, minute, second = '0']: readonly (string | undefined)[],
  dayAlone: DayPart = 'end',
): Date | null {
  const moment = new Date(midnight);
  if (hour === undefined && dayAlone === 'end') moment.setHours(23, 59, 59, 999);
  if (hour === undefined) return validOrNull(moment);
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) >= 60) return null;
  moment.setHours(Number(hour), Number(minute), 0, Math.round(Number(second) * SECOND_MS));
  return validOrNull(moment);
}

function validOrNull(date: Date): Date | null {
  return Number.isNaN(date.getTime()) ? null : date;
}
