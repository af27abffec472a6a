/**
 * `rescue`: shows what would be written, asks the person at the terminal, and brings the rows back. `--yes` answers for a
 * script; where nobody can be asked, nothing is: a rescue can be undone.
 */
import type { Rescue, RescuePlan } from '../../service/model.ts';
import { BackupError } from '../../words/errors.ts';
import { isBookmark } from '../../words/restore-point.ts';
import { exitCodes } from '../exit-codes.ts';
import { agoText, sizeText } from '../output.ts';
import { type Session, wrongUse } from '../session.ts';
import { table } from '../text/tables.ts';
import { chooseBackup } from './restore.ts';

export interface RescueFlags {
  readonly table?: readonly string[];
  readonly at?: string;
  readonly key?: readonly string[];
  readonly changed?: boolean;
  readonly conflicts?: 'keep' | 'take' | 'stop';
  readonly since?: string;
  readonly triggers?: boolean;
  readonly withoutNeeded?: boolean;
  readonly list?: boolean;
  readonly undo?: string;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

export async function rescue(session: Session, from: string | undefined, flags: RescueFlags): Promise<number> {
  if (flags.list) return await listRescues(session);
  if (flags.undo !== undefined) return await undoRescue(session, flags.undo);
  const { service, output, ask } = session;
  const asked = await askedOf(session, from, flags);
  const plan = await service.planRescue(asked);
  const text = planText(plan, output.width);
  if (flags.dryRun) {
    output.answer({ dryRun: true, plan }, text);
    return exitCodes.done;
  }
  if (plan.blocked.length > 0 || plan.writes === 0) output.warn(text);
  else if (ask !== undefined && !flags.yes) {
    output.warn(text);
    if (!(await ask(`Rescue ${rowsText(plan.writes)}? [y/N] `)))
      throw new BackupError('ABORTED', 'nothing was written: the answer was not yes', {
        hint: 'Repeat the command and answer yes, or add --yes.',
      });
  } else output.note(text);
  const done = await service.rescue(asked, { expected: plan.expected, onProgress: output.progress.show });
  output.answer({ rescue: done }, rescuedText(done));
  return exitCodes.done;
}

async function askedOf(session: Session, from: string | undefined, flags: RescueFlags) {
  const { table: tables = [], key: keys, changed, conflicts, triggers, withoutNeeded } = flags;
  if (tables.length === 0) throw wrongUse('say which table: --table NAME');
  if (keys !== undefined && tables.length > 1) throw wrongUse('--key names rows of one table; name that one alone');
  if (keys !== undefined && changed)
    throw wrongUse('--key names the rows; --changed chooses them by what became of them');
  return {
    of: await pointOf(session, from, flags.at),
    since: flags.since === undefined ? undefined : await pointOf(session, flags.since, undefined),
    tables: tables.map((name) => ({ table: name, keys: keys?.map(rowKey), changed, conflicts })),
    ...{ triggers, withNeeded: !withoutNeeded },
  };
}

/** A bookmark, a path, the name of a backup, or the one that `latest` or a time means. */
async function pointOf(session: Session, wanted: string | undefined, at: string | undefined): Promise<string> {
  if (wanted !== undefined && isBookmark(wanted)) return wanted;
  const found = await chooseBackup(session, wanted, { at });
  if (found.kind === 'file') return found.path;
  const { filename, moment, warnings } = found.backup;
  if (moment) session.output.note(`--at ${at ?? ''} is ${moment.said}.`);
  for (const warning of warnings) session.output.note(`Warning: ${warning}`);
  return filename;
}

/** As `look` and `diff` give it, else the value of a key of one column. SQLite makes a number of it where one is meant. */
function rowKey(text: string): string {
  return text.startsWith('[') ? text : JSON.stringify([`t${text}`]);
}

async function listRescues({ service, output, now }: Session): Promise<number> {
  const rescues = await service.rescues();
  const rows = rescues.map(({ id, at, of, written, tables, undoneAt }) => [
    ...[id, agoText(at, now()), rowsText(written), tables.map(({ name }) => name).join(', ')],
    ...[of, undoneAt ? 'undone' : ''],
  ]);
  const text =
    rows.length === 0
      ? 'No rows were rescued in the last 30 days.'
      : table(['RESCUE', 'WHEN', 'WRITTEN', 'TABLES', 'FROM', ''], rows, { width: output.width });
  output.answer({ rescues }, text);
  return exitCodes.done;
}

async function undoRescue({ service, output }: Session, id: string): Promise<number> {
  const undone = await service.undoRescue(id, { onProgress: output.progress.show });
  const left = undone.left === 0 ? '' : ` ${rowsText(undone.left)} changed since or needed by now: left alone.`;
  output.answer(undone, `Undone: ${rowsText(undone.undone)} taken back.${left}`);
  return exitCodes.done;
}

const rowsText = (rows: number) => `${rows} row${rows === 1 ? '' : 's'}`;

function planText({ of, at, tables, writes, blocked, warnings, conflicts, bytes }: RescuePlan, width?: number): string {
  const rows = tables.map((one) => [
    ...[one.name, String(one.insert), String(one.update), String(one.same)],
    ...[one.conflicts === 0 ? '0' : `${one.conflicts} (${one.rule})`, String(one.needed)],
  ]);
  const triggers = tables.flatMap((one) => one.triggers.map((name) => `${name} of ${one.name}`));
  return [
    `Rescuing from ${of}, ${at.toISOString()}: ${rowsText(writes)} will be written (${sizeText(bytes)}).`,
    ...(rows.length > 0
      ? [table(['TABLE', 'ADDED BACK', 'CHANGED BACK', 'ALREADY THERE', 'CONFLICTS', 'NEEDED'], rows, { width })]
      : []),
    ...conflicts
      .slice(0, CONFLICTS_SHOWN)
      .map(({ table: name, key, result }) => `Conflict: ${name} ${key}: ${results[result]}`),
    ...(conflicts.length > CONFLICTS_SHOWN ? [`and more; --json has the first ${conflicts.length}`] : []),
    ...(triggers.length > 0 ? [`Triggers of these tables: ${triggers.join(', ')}.`] : []),
    ...warnings.map((text) => `Warning: ${text}`),
    ...blocked.map((text) => `Not possible: ${text}`),
  ].join('\n');
}

const CONFLICTS_SHOWN = 10;
const results = { keep: 'live is kept', take: 'the backup is taken', stop: 'stops the rescue' } as const;

function rescuedText({ id, of, written, tables }: Rescue): string {
  const each = tables.map(({ name, inserted, updated }) => {
    const parts = [inserted > 0 ? `${inserted} added` : '', updated > 0 ? `${updated} changed` : ''].filter(Boolean);
    return `${name}: ${parts.join(', ') || 'none'}`;
  });
  return `Rescued ${rowsText(written)} from ${of} (${each.join('; ')}).\n\`velist-backup rescue --undo ${id}\` takes them back.`;
}
