/**
 * What the folder will hold once retention has filled it: an estimate from today's sizes, safety copies included. Pure.
 * Where nobody said what to keep beside the newest, also how much of that there is room for, in words.
 */
import { historyBudget, type DiskRoom } from '../../engine/disk/share.ts';
import { lossHolds } from '../../engine/catalog/loss.ts';
import { isAside } from '../../engine/format/manifest.ts';
import type { FolderRetention, Retainable } from '../../engine/catalog/retention.ts';
import { PERIODS, type Period, unitOf } from '../../engine/catalog/periods.ts';
import { formatSize } from '../log.ts';
import { ofList } from '../of-list.ts';

export interface RetentionForecast {
  /** At most: one backup may stand for an hour and a day. */
  readonly bytes: number;
  /** Size of one more backup. */
  readonly eachBytes: number;
  /** Size of what stays beside what the numbers say: safety copies, pinned ones, those held for a loss, foreign files. */
  readonly besideBytes: number;
  /** What all copies together may take while nobody said the keep numbers; null if somebody did. */
  readonly budgetBytes: number | null;
  /** How many copies there is room for of what the default keeps beside the newest; null if somebody said what to keep. */
  readonly fitting: number | null;
  /** The same in words. */
  readonly note: string | null;
}

interface ForecastFacts {
  /** In the folder, newest first. */
  readonly copies: readonly (Retainable & { readonly sizeBytes: number })[];
  readonly databaseBytes: number;
  readonly retention: Required<FolderRetention>;
  readonly disk: DiskRoom;
  readonly now: Date;
}

export function forecastRetention({ copies, databaseBytes, retention, disk, now }: ForecastFacts): RetentionForecast {
  const { count, keep, byDefault } = retention;
  const held = lossHolds(copies, now);
  const eachBytes = copies.find((copy) => !staysAnyway(copy) && !held.has(copy))?.sizeBytes ?? databaseBytes;
  const heldBytes = sizeOf([...held.keys()].filter((copy) => !staysAnyway(copy)));
  const besideBytes = sizeOfOthers(copies) + heldBytes;
  const wanted = PERIODS.reduce((sum, period) => sum + keep[period], 0);
  const leastBytes = besideBytes + count * eachBytes;
  const mostBytes = leastBytes + wanted * eachBytes;
  const parts = { eachBytes, besideBytes };
  if (!byDefault) return { ...parts, bytes: mostBytes, budgetBytes: null, fitting: null, note: null };
  const budgetBytes = historyBudget(copies, disk, byDefault.databases);
  const fitting = Math.max(0, Math.min(wanted, Math.floor((budgetBytes - leastBytes) / Math.max(1, eachBytes))));
  const note = `${defaultText(retention, budgetBytes)} ${fittingText({ fitting, wanted, count })}`;
  return { ...parts, bytes: leastBytes + fitting * eachBytes, budgetBytes, fitting, note };
}

function staysAnyway({ manifest }: Retainable): boolean {
  return manifest === null || isAside(manifest) || manifest.pinned;
}

const sizeOfOthers = ofList((copies: ForecastFacts['copies']) => sizeOf(copies.filter(staysAnyway)));

function sizeOf(copies: ForecastFacts['copies']): number {
  return copies.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

function defaultText({ count, keep, byDefault }: Required<FolderRetention>, budgetBytes: number): string {
  const periods = PERIODS.filter((period) => keep[period] > 0).map((period) => `${keep[period]} ${plural(period)}`);
  const last = periods.pop();
  const shared = (byDefault?.databases ?? 1) > 1 ? `, shared by ${byDefault?.databases} databases` : '';
  return `By default the newest of each of the last ${periods.join(', ')} and ${last} stays beside the newest ${count}, as long as all copies together take no more than ${formatSize(budgetBytes)}: a fifth of the disk${shared}, or less while it is nearly full.`;
}

const plural = (period: Period) => `${unitOf[period]}s`;

function fittingText({ fitting, wanted, count }: Readonly<Record<'fitting' | 'wanted' | 'count', number>>): string {
  if (fitting === wanted) return 'There is room for all of them.';
  if (fitting === 0) return `There is no room for any of them: only the newest ${count} stay.`;
  return `There is room for about ${fitting} of these ${wanted}.`;
}
