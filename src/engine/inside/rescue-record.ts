/**
 * What is kept of each rescue, in a folder of its own among the backups: a record that says what it wrote, and beside it the
 * inverse. Both are flushed before the rescue commits, and the record is set right after it.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writePrivateJson } from '../disk/private-json.ts';
import { BackupError } from '../../words/errors.ts';
import { removeDraft } from './draft.ts';

const record = z.object({
  id: z.string(),
  at: z.iso.datetime(),
  /** The name of the backup, or a bookmark. */
  of: z.string(),
  user: z.string().nullable(),
  /** Triggers of the app fired, and fire when it is undone. */
  triggers: z.boolean(),
  /**
   * `writing` and `undoing` stand there from before a commit until after it. Found later, they say that a process ended in
   * between: the rows then tell whether it was committed.
   */
  state: z.enum(['writing', 'written', 'undoing', 'undone']),
  tables: z.array(z.object({ name: z.string(), inserted: z.number(), updated: z.number() })),
  /** What AUTOINCREMENT counted up to, where the rescue changed it. */
  sequences: z.array(z.object({ table: z.string(), before: z.number().nullable(), after: z.number() })),
  undoneAt: z.iso.datetime().nullable(),
});
export type RescueRecord = z.infer<typeof record>;

const RESCUES_FOLDER = '.velist-rescues';
export const RESCUES_LOCK = '.lock';
/** How long a rescue can be undone. */
const RESCUE_DAYS = 30;
const DAY_MS = 86_400_000;
const id = /^\d{8}t\d{6}-[\da-f]{12}$/;

export const rescuesFolder = (backups: string): string => join(backups, RESCUES_FOLDER);
export const inverseOf = (folder: string, name: string): string => join(folder, `${name}.sqlite`);
const recordOf = (folder: string, name: string) => join(folder, `${name}.json`);

export function newRescueId(now: Date): string {
  const random = crypto.randomUUID().replaceAll('-', '').slice(0, 12);
  return `${now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').toLowerCase()}-${random}`;
}

export function writeRecord(folder: string, one: RescueRecord): void {
  writePrivateJson(recordOf(folder, one.id), one);
}

/** The newest first. */
export function readRecords(folder: string): readonly RescueRecord[] {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).flatMap((entry) => /^(.+)\.json$/.exec(entry)?.[1] ?? []);
  return names
    .filter((name) => id.test(name))
    .flatMap((name) => readRecord(folder, name) ?? [])
    .sort((a, b) => b.at.localeCompare(a.at) || b.id.localeCompare(a.id));
}

function readRecord(folder: string, name: string): RescueRecord | null {
  try {
    const read = record.safeParse(JSON.parse(readFileSync(recordOf(folder, name), 'utf8')));
    return read.success && read.data.id === name ? read.data : null;
  } catch {
    // It is being removed, or no file of ours.
    return null;
  }
}

/** @throws BackupError NO_BACKUP for one that is not there. */
export function requireRecord(folder: string, name: string): RescueRecord {
  const found = id.test(name) ? readRecord(folder, name) : null;
  if (found && existsSync(inverseOf(folder, name))) return found;
  throw new BackupError('NO_BACKUP', `there is no rescue ${JSON.stringify(name)}`, {
    hint: `Each is kept for ${RESCUE_DAYS} days; \`velist-backup rescue --list\` shows them.`,
  });
}

export function removeRescue(folder: string, name: string): void {
  // The record first: without it the inverse is nothing that anybody would use.
  rmSync(recordOf(folder, name), { force: true });
  removeDraft(inverseOf(folder, name));
}

/** Removes what is too old, and what runs that were killed left. Needs the lock. */
export function sweepRescues(folder: string, now: Date): void {
  for (const { id: name, at } of readRecords(folder))
    if (now.getTime() - Date.parse(at) > RESCUE_DAYS * DAY_MS) removeRescue(folder, name);
  const entries = new Set(readdirSync(folder));
  for (const entry of entries) {
    const name = /^(.+)\.sqlite$/.exec(entry)?.[1];
    const path = join(folder, entry);
    if (name === undefined || entries.has(`${name}.json`)) continue;
    // The maker of a plan removes its draft itself; an old one was left by a process that was killed.
    const isLeft = id.test(name) || (name.startsWith(PLAN) && ageMs(path, now) > PLAN_MS_MAX);
    if (isLeft) removeDraft(path);
  }
}

function ageMs(path: string, now: Date): number {
  return now.getTime() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? now.getTime());
}

/** No plan takes so long. */
const PLAN_MS_MAX = DAY_MS;
const PLAN = 'plan-';
export const planDraft = (folder: string): string => join(folder, `${PLAN}${crypto.randomUUID()}.sqlite`);
