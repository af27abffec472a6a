/** Restore, undo, and what an empty machine gets back. */
import { answerDryRun, replaceDatabase, type ReplaceGiven, type ReplaceOptions, restoredText } from './replace.ts';
import type { FirstBoot, FoundRestorePoint, TargetName } from '../../service/model.ts';
import { noBackup, type Session, wrongUse } from '../session.ts';
import { foreignBackup } from '../../service/restores/foreign-backup.ts';
import { basename, dirname, extname, join } from 'node:path';
import { exitCodeOf, exitCodes } from '../exit-codes.ts';
import { existsSync, readFileSync } from 'node:fs';
import { BackupError } from '../../words/errors.ts';
import type { FindOptions } from '../../service/service-port.ts';
import { readRestorePoint, type RestorePointGiven } from '../../words/restore-point.ts';

export interface RestoreOptions extends ReplaceOptions {
  readonly to?: string;
  readonly online?: boolean;
  readonly inPlace?: boolean;
  readonly at?: string;
  readonly ifMissing?: boolean;
  readonly from?: TargetName;
  readonly fromOther?: boolean;
  readonly identity?: string;
  readonly allowPlain?: boolean;
}

export async function restoreBackup(
  session: Session,
  wanted: string | undefined,
  options: RestoreOptions,
): Promise<number> {
  const { service, output } = session;
  const identity = readIdentity(options.identity);
  const isReplacing = options.online === true || options.inPlace === true;
  const mayBeOther = !isReplacing || options.fromOther === true;
  const { at, allowPlain } = options;
  const asked = { at, from: options.from, fromOther: mayBeOther, identity, allowPlain };
  const found = await chooseBackup(session, wanted, asked);
  const backup = found.kind === 'backup' ? found.backup : null;
  const from = backup === null || backup.target === 'local' ? options.from : backup.target;
  const copy = { from, identity, allowPlain, onProgress: output.progress.show };
  const source = found.kind === 'file' ? found.path : found.backup.filename;
  const { databasePath } = service.getConfig();
  const about = aboutFound(found, options.at);
  const moment = backup?.moment ? { moment: backup.moment } : {};
  if (isReplacing) {
    const { fromOther } = options;
    const mode = options.online ? 'online' : 'offline';
    // Before anybody is asked; the service refuses it too, and a file as well.
    if (backup?.other && !fromOther && !options.dryRun)
      throw foreignBackup(backup.filename, backup.other, basename(databasePath));
    const replace = async (given: ReplaceGiven) => ({
      ...(await service.restore(source, { ...copy, ...given, fromOther })),
      ...moment,
    });
    const result = await replaceDatabase(service, { source, mode, copy, replace, about, moment }, options, session);
    if (result) output.answer(result, restoredText(result) + whoseText(found, databasePath));
    return exitCodes.done;
  }
  for (const text of about) output.note(text);
  const to = options.to ?? newFileBeside(databasePath, found, session.now());
  if (options.dryRun) {
    const dryRun = { dryRun: true, mode: 'file', backup: basename(source), path: to, plan: null, ...moment } as const;
    answerDryRun(output, dryRun, `Would restore ${dryRun.backup} to ${to}; nothing is replaced.`);
    return exitCodes.done;
  }
  const result = await service.restore(source, { ...copy, mode: 'file', to });
  output.answer({ ...result, ...moment }, restoredText(result) + whoseText(found, databasePath));
  return exitCodes.done;
}

/** Where there is no database, nothing can be mixed up: a new machine knows no name yet. */
function whoseText(found: Found, databasePath: string): string {
  const other = found.kind === 'backup' && existsSync(databasePath) ? found.backup.other : null;
  return other ? `\nIt is a backup of another database, ${other.name}.` : '';
}

export async function restoreIfMissing(
  { service, output }: Session,
  wanted: string | undefined,
  { identity: identityFile, fromOther, allowPlain }: RestoreOptions,
): Promise<number> {
  if (wanted !== undefined) throw wrongUse('--if-missing chooses the backup itself; leave its name out');
  const result = await service.restoreIfMissing({
    ...{ identityFile, fromOther, allowPlain },
    onProgress: output.progress.show,
  });
  output.answer(result, firstBootText(result));
  return exitCodes.done;
}

/** The key goes to the job that needs it, and nowhere else. */
export function readIdentity(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new BackupError('BAD_REQUEST', `the identity file ${path} can't be read`, {
      hint: 'Name the file that age-keygen wrote, with the private key.',
      cause,
    });
  }
}

export interface UndoOptions extends ReplaceOptions {
  readonly online?: boolean;
  readonly inPlace?: boolean;
}

export async function undoRestore(session: Session, options: UndoOptions): Promise<number> {
  const { service, output } = session;
  const onProgress = output.progress.show;
  const mode = options.inPlace ? 'offline' : 'online';
  const { undo } = await service.getStatus();
  const replace = (given: Partial<ReplaceGiven>) => service.undoRestore({ mode, ...given, onProgress });
  // Without one the service says what there is instead.
  const result = undo
    ? await replaceDatabase(service, { source: undo.filename, mode, copy: { onProgress }, replace }, options, session)
    : await replace({});
  if (result) output.answer(result, restoredText(result));
  return exitCodes.done;
}

type Found =
  { readonly kind: 'backup'; readonly backup: FoundRestorePoint } | { readonly kind: 'file'; readonly path: string };

/** What `--at` gives, else a name of the catalog, `latest`, or a path to a file. */
export async function chooseBackup(
  session: Pick<Session, 'service' | 'now'>,
  wanted: string | undefined,
  { at, ...options }: FindOptions & Pick<RestoreOptions, 'at'>,
): Promise<Found> {
  if (at !== undefined) {
    if (wanted !== undefined && wanted !== 'latest')
      throw wrongUse('--at chooses the backup itself; leave its name out');
    const point = readAt(at, session.now());
    return { kind: 'backup', backup: await session.service.findRestorePoint(point, options) };
  }
  if (wanted === undefined) throw wrongUse('say which backup: its name, "latest", a path, or --at TIME');
  try {
    const point = wanted === 'latest' ? ({ latest: true } as const) : { backup: wanted };
    return { kind: 'backup', backup: await session.service.findRestorePoint(point, options) };
  } catch (error) {
    const known = BackupError.from(error);
    const isUnknown = known.code === 'BAD_NAME' || exitCodeOf(known.code) === exitCodes.noBackup;
    if (wanted === 'latest' || !isUnknown) throw known;
    if (options.from === undefined && existsSync(wanted)) return { kind: 'file', path: wanted };
    throw known.code === 'BAD_NAME' ? noBackup(`there is no backup and no file named ${wanted}`) : known;
  }
}

/** A time by the clock of this command; what is none may be a bookmark or a mark, which the service knows. */
function readAt(at: string, now: Date): RestorePointGiven {
  try {
    return readRestorePoint({ at }, now);
  } catch {
    return { at };
  }
}

/** What is to be said before a restore: the moment that was asked for, with its zone, and what was passed over. */
export function aboutFound(found: Found, at: string | undefined): readonly string[] {
  if (found.kind === 'file') return [];
  const { moment, warnings } = found.backup;
  return [...(moment ? [`--at ${at ?? ''} is ${moment.said}.`] : []), ...warnings];
}

/** `dev.restored-<moment of the backup>.sqlite` beside the database; with a number when it is there already. */
function newFileBeside(databasePath: string, found: Found, now: Date): string {
  const stamp = (found.kind === 'backup' ? found.backup.createdAt : now).toISOString().replace(/[:.]/g, '-');
  const name = basename(databasePath, extname(databasePath));
  const path = join(dirname(databasePath), `${name}.restored-${stamp}`);
  let free = `${path}.sqlite`;
  for (let number = 2; existsSync(free) && number <= MAX_RESTORED_FILES; number++) free = `${path}-${number}.sqlite`;
  return free;
}

/** Restores of one backup beside each other; the next one is refused by the service. */
const MAX_RESTORED_FILES = 100;

function firstBootText(result: FirstBoot): string {
  switch (result.outcome) {
    case 'present':
      return `${result.path} is there; nothing was brought back.`;
    case 'restored':
      return [
        `Restored ${result.backup} (${result.from}) to ${result.path}, which was missing.`,
        ...result.skipped.map(({ filename, from, reason }) => `Not brought back: ${filename} (${from}): ${reason}.`),
        ...(result.lack === undefined ? [] : [result.lack]),
      ].join('\n');
    case 'first-boot':
      return `No backup, first boot: there is none in ${result.looked.join(' and none in ')}.`;
  }
}
