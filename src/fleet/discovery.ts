/**
 * The files that a glob names, by their directories alone: none is opened, because a file of a database must not be
 * opened in the app's process. Whether one is a database is the job's to say. What we make ourselves, and what SQLite
 * keeps beside a database, is left out, or a glob like `**` would find the backups and back them up in turn.
 */
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { glob } from 'tinyglobby';
import { type ConfiguredGlob, nameInGlob } from '../config/config-file.ts';
import { FOUND_FILE, ownerOf, RECORD_FILE } from '../engine/format/names.ts';
import { giveToOwnerOfFolder } from '../engine/disk/owner.ts';
import { BackupError, errnoCode } from '../words/errors.ts';
import { truePath } from '../engine/disk/true-path.ts';

export interface FoundDatabase {
  readonly name: string;
  readonly path: string;
  /** Relative to the folder where the glob begins. */
  readonly file: string;
}

/** Sorted, so that names are given in the same order each time. */
export async function findDatabases(
  wanted: ConfiguredGlob,
  { notIn }: { readonly notIn: readonly string[] },
): Promise<readonly FoundDatabase[]> {
  const begin = beginOf(wanted.pattern);
  const folders = new Set(notIn.map((folder) => resolve(folder)));
  const files = await glob(wanted.pattern.slice(staticPartOf(wanted.pattern).length), {
    // The folder where it begins may be a link of the author's own.
    ...{ cwd: truePath(begin), ignore: ['**/node_modules/**'] },
    ...{ expandDirectories: false, followSymbolicLinks: false },
  });
  return files
    .filter((file) => !isByproduct(basename(file), basename(wanted.statePath)))
    .filter((file) => !isBelow(resolve(begin, file), folders))
    .sort()
    .map((file) => ({ name: nameInGlob(wanted, file), path: join(begin, file), file }));
}

/** By its own folders: with many databases there are as many folders as files. */
function isBelow(file: string, folders: ReadonlySet<string>): boolean {
  for (let at = dirname(file); ; at = dirname(at)) {
    if (folders.has(at)) return true;
    if (at === dirname(at)) return false;
  }
}

/** Files beside a database, a backup, a restore or our own state. */
function isByproduct(name: string, state: string): boolean {
  return (
    /-(wal|shm|journal)$|\.(restoring|placing)(-\d+|\.lock)|\.restored-\d{4}-/.test(name) ||
    name.endsWith(state) ||
    ownerOf(name) !== null
  );
}

/**
 * Below the folder where the glob begins nothing is reached through a link: whoever may make files there would have any
 * database of the machine backed up, or replaced by a restore.
 *
 * @throws BackupError BAD_CONFIG
 */
export function refuseLink({ pattern }: ConfiguredGlob, file: string): void {
  const begin = truePath(beginOf(pattern));
  const real = truePath(join(begin, file));
  if (real === join(begin, file)) return;
  throw new BackupError('BAD_CONFIG', `${join(beginOf(pattern), file)} leads through a link to ${real}`, {
    hint: 'If it should be backed up, name it in the list by its path: a glob follows no links.',
  });
}

/** The folder above the first part that varies. */
function beginOf(pattern: string): string {
  return dirname(`${staticPartOf(pattern)}x`);
}

/** Up to the last slash before anything that varies. */
function staticPartOf(pattern: string): string {
  return pattern.replace(/[*?{[(!].*$/s, '').replace(/[^/]*$/, '');
}

/**
 * Notes in the folder of its backups which file a database was, so that they stay listed and restorable after a restart
 * without it. Where there are no backups nothing is noted.
 */
export async function rememberDatabase(folder: string, file: string): Promise<void> {
  const path = join(folder, FOUND_FILE);
  const text = `${JSON.stringify({ file })}\n`;
  try {
    if (!(await holdsBackups(folder)) || (await textOf(path)) === text) return;
    await rm(`${path}.tmp`, { force: true });
    await writeFile(`${path}.tmp`, text, { flag: 'wx', mode: 0o600 });
    giveToOwnerOfFolder(`${path}.tmp`);
    await rename(`${path}.tmp`, path);
    // Early versions noted it where the record of the owner is now.
    const old = join(folder, RECORD_FILE);
    if (fileIn(await textOf(old)) !== null) await rm(old);
  } catch (error) {
    // No backup yet, or the run that can't write there says so; it is noted at the next look.
    if (errnoCode(error) === undefined) throw error;
  }
}

/**
 * Databases of that glob that have backups, whether their file is there or not.
 *
 * @param known names of those that are not looked for.
 */
export async function rememberedDatabases(
  wanted: ConfiguredGlob,
  known: ReadonlySet<string>,
): Promise<readonly FoundDatabase[]> {
  const names = await readdir(wanted.localPath).catch(() => []);
  const found: FoundDatabase[] = [];
  for (const name of names.filter((one) => one.startsWith(`${wanted.name}.`) && !known.has(one)).sort()) {
    const folder = join(wanted.localPath, name);
    const file = fileIn(await textOf(join(folder, FOUND_FILE))) ?? fileIn(await textOf(join(folder, RECORD_FILE)));
    // What another glob left there is not this one's.
    if (file === null || nameInGlob(wanted, file) !== name || file.split(/[\\/]/).includes('..')) continue;
    found.push({ name, path: join(beginOf(wanted.pattern), file), file });
  }
  return found;
}

/** Whether backups lie in that very folder, and not in one below it. */
export async function holdsBackups(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch(() => []);
  return names.some((name) => ownerOf(name) !== null);
}

async function textOf(path: string): Promise<string | null> {
  return await readFile(path, 'utf8').catch(() => null);
}

function fileIn(text: string | null): string | null {
  try {
    const { file }: { file?: unknown } = JSON.parse(text ?? '{}');
    return typeof file === 'string' ? file : null;
  } catch {
    return null;
  }
}
