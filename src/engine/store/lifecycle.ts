/**
 * Where removal is left to a rule of the bucket, everything there ends some day: what is still needed must be stored anew
 * before. An idle database makes no new backup by itself, so one is made at half of that time; what a place says of itself
 * is renewed with the uploads, which come at half of it at the latest, and so at a quarter of it.
 */
const DAY_MS = 86_400_000;

/** True from half of the days on, so that a missed run does no harm. */
export function isHalfOver(createdAt: Date, lifecycleDays: number, now: Date): boolean {
  return now.getTime() - createdAt.getTime() >= (lifecycleDays * DAY_MS) / 2;
}

/** For what is looked at with each upload. */
export function isToBeRenewed(storedAt: Date, lifecycleDays: number, now: Date): boolean {
  return now.getTime() - storedAt.getTime() >= (lifecycleDays * DAY_MS) / 4;
}

/** The rule may have removed it by now. It was stored at that moment or later, so before that it can't have been the rule. */
export function mayHaveExpired(createdAt: Date, lifecycleDays: number, now: Date): boolean {
  return now.getTime() - createdAt.getTime() >= lifecycleDays * DAY_MS;
}
