/** Hours, days, ISO weeks, months and years of UTC, named so that a name is the same for all moments of one period. */

export const PERIODS = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
export type Period = (typeof PERIODS)[number];

export const unitOf = {
  hourly: 'hour',
  daily: 'day',
  weekly: 'week',
  monthly: 'month',
  yearly: 'year',
} as const satisfies Record<Period, string>;

const HOUR_FORM = 'YYYY-MM-DDThh'.length;
const DAY_FORM = 'YYYY-MM-DD'.length;
const MONTH_FORM = 'YYYY-MM'.length;
const YEAR_FORM = 'YYYY'.length;
const DAY_MS = 86_400_000;
const WEEK_DAYS = 7;

/** `2024-01-15T10`, `2024-01-15`, `2024-W03`, `2024-01` or `2024`. */
export function periodOf(moment: Date, period: Period): string {
  const text = moment.toISOString();
  switch (period) {
    case 'hourly':
      return text.slice(0, HOUR_FORM);
    case 'daily':
      return text.slice(0, DAY_FORM);
    case 'weekly':
      return isoWeek(moment);
    case 'monthly':
      return text.slice(0, MONTH_FORM);
    case 'yearly':
      return text.slice(0, YEAR_FORM);
  }
}

/** ISO 8601: weeks begin on Monday, and a week belongs to the year that has its Thursday. */
function isoWeek(moment: Date): string {
  const daysSinceMonday = (moment.getUTCDay() + 6) % WEEK_DAYS;
  const thursday = new Date(moment.getTime() + (3 - daysSinceMonday) * DAY_MS);
  const year = thursday.getUTCFullYear();
  const dayOfYear = Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / DAY_MS);
  return `${year}-W${String(Math.floor(dayOfYear / WEEK_DAYS) + 1).padStart(2, '0')}`;
}
