/**
 * Faults that a suite must catch: each is a break that somebody could make, or once made. A fault that is found in the
 * product is added here when it is mended.
 */
import type { Catcher, Patch, PlantedFault } from './test-build.ts';

const snapshot = 'src/engine/sqlite/snapshot.ts';
const snapshotTests = 'src/engine/sqlite/snapshot.test.ts';
const begin = 'src/engine/sqlite/begin.ts';
const live = 'src/engine/sqlite/live-database.ts';
const judge = 'src/engine/sqlite/judge.ts';
const publish = 'src/engine/catalog/publish.ts';
const catalog = 'src/engine/catalog/folder-catalog.ts';
const sharedTests = 'tests/faults/shared-folders.test.ts';
const watch = 'src/engine/sqlite/watch.ts';
const hostile = 'tests/faults/hostile-databases.test.ts';

const test = (file: string, name: string): Catcher => ({ kind: 'test', file, name });
const torture = (scenario: string, seconds = 6, seed = 1): Catcher => ({ kind: 'torture', scenario, seconds, seed });
const kills = (of: string, times: number, seed = 1): Catcher => ({ kind: 'kills', of, kills: times, seed });

const order = test(
  'tests/faults/durable-order.test.ts',
  'each step is durable before the next begins, and older backups go last',
);

/** A disk that takes its time widens the moment in which a kill shows the fault. */
const aWhile = 'await new Promise((resolve) => setTimeout(resolve, 200));\n';

export const plantedFaults: readonly PlantedFault[] = [
  // The pin and the copy
  {
    name: 'the pin is released before the copy',
    patches: [
      { file: live, from: '  let open = true;', to: "  connection.exec('COMMIT');\n  let open = true;" },
      { file: live, from: "      connection.exec('COMMIT');\n      endConnection", to: '      endConnection' },
      { file: snapshot, from: 'if (isUnwritten(pin)) return copied;', to: 'return copied;' },
    ],
    caughtBy: test(snapshotTests, 'nothing that is committed under the pin gets into the main file'),
  },
  {
    name: 'a descriptor of the database is closed under the pin, which drops its locks',
    patches: [
      {
        file: live,
        from: '  let open = true;',
        to: "  closeSync(openSync(path, 'r'));\n  let open = true;",
      },
      { file: snapshot, from: 'if (isUnwritten(pin)) return copied;', to: 'return copied;' },
    ],
    caughtBy: test(
      'src/engine/sqlite/snapshot.test.ts',
      'in a rollback mode nobody commits from the pin to the end of the copy, and everybody does afterwards',
    ),
  },
  {
    name: 'the journal mode is read before the pin',
    patches: [
      {
        file: begin,
        from: "  connection.exec('BEGIN');\n",
        to: "  const mode = String(pragma(connection, 'journal_mode'));\n  connection.exec('BEGIN');\n",
      },
      { file: begin, from: "  return String(pragma(connection, 'journal_mode'));", to: '  return mode;' },
    ],
    caughtBy: test(
      'src/engine/sqlite/begin.test.ts',
      'an app that switches to WAL mode after it was asked is read in WAL mode, with its log',
    ),
  },
  {
    name: 'the journal mode is read before the pin, beside an app that switches it',
    patches: [
      {
        file: live,
        // The moment is widened, or it would take minutes to be met.
        from: '  const { journalMode, log, index } = beginReading(connection, { ...at.opened, deadline }, { wantsLogEnd: mayCopy });',
        to: "  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);\n  const begun = beginReading(connection, { ...at.opened, deadline }, { wantsLogEnd: mayCopy });\n  const { journalMode, log, index } = mayHaveLog ? begun : { journalMode: 'delete', log: null, index: null };",
      },
      { file: snapshot, from: 'if (isUnwritten(pin)) return copied;', to: 'return copied;' },
    ],
    caughtBy: torture('modes', 12),
  },
  {
    name: 'the copy takes frames behind the end of the index',
    patches: [
      { file: snapshot, from: '{ ...options, untilBytes, onProgress', to: '{ ...options, onProgress' },
      { file: snapshot, from: 'makeSingleFile(destination) !== frames)', to: 'makeSingleFile(destination) < frames)' },
    ],
    caughtBy: test(snapshotTests, 'a commit that failed is not in the copy, although its frames are whole'),
  },
  {
    name: 'the copy takes frames behind the end of the index, beside an app whose fsync fails',
    patches: [
      { file: snapshot, from: '{ ...options, untilBytes, onProgress', to: '{ ...options, onProgress' },
      { file: snapshot, from: 'makeSingleFile(destination) !== frames)', to: 'makeSingleFile(destination) < frames)' },
    ],
    caughtBy: torture('failing-fsync', 8),
  },
  {
    name: 'neither the log nor the number of its frames is compared with the index',
    patches: [
      {
        file: snapshot,
        from: 'if (!isSingleFile && makeSingleFile(destination) !== frames)',
        to: 'if (!isSingleFile && makeSingleFile(destination) < 0)',
      },
      { file: snapshot, from: 'if (isLogOf(log, pin.log)) return;', to: 'return;' },
      { file: 'src/engine/sqlite/log-file.ts', from: 'if (isLogOf(descriptor, log)) return', to: 'return' },
    ],
    caughtBy: test(snapshotTests, 'a log that is not the one of the index is refused'),
  },
  {
    name: 'no second look at the log header',
    patches: [{ file: snapshot, from: 'if (isLogOf(log, pin.log)) return;', to: 'return;' }],
    caughtBy: test(snapshotTests, 'a log that restarts while it is copied is refused'),
  },
  {
    name: 'no second look at the main file of a copy that needs no log',
    patches: [{ file: snapshot, from: 'if (isUnwritten(pin)) return copied;', to: 'return copied;' }],
    caughtBy: test(snapshotTests, 'a main file in wal mode that somebody writes to under the pin is refused'),
  },
  {
    name: 'a log that is missing under the pin counts as empty',
    patches: [
      {
        file: snapshot,
        from: '  const log = openLog(pin.path, pin.log);\n',
        to: '  let log: number;\n  try {\n    log = openLog(pin.path, pin.log);\n  } catch {\n    return;\n  }\n',
      },
      { file: snapshot, from: 'makeSingleFile(destination) !== frames)', to: 'makeSingleFile(destination) < 0)' },
    ],
    caughtBy: test(
      snapshotTests,
      'a log that is needed and was removed is an error that says so, and no copy without it',
    ),
  },
  {
    name: 'the log is left out of the copy',
    patches: [
      { file: snapshot, from: '  return log !== null && !isAllMerged(log);', to: '  return log !== null && false;' },
      { file: snapshot, from: 'if (isUnwritten(pin)) return copied;', to: 'return copied;' },
    ],
    caughtBy: torture('readers'),
  },
  {
    name: 'the database may be another one after the copy',
    patches: [{ file: snapshot, from: '    checkSameFile(pinned);\n', to: '' }],
    caughtBy: test(
      snapshotTests,
      'a database that was swapped for another under the pin is refused: its log may be the other’s',
    ),
  },
  {
    name: 'nobody looks for another log of the same database',
    patches: [
      {
        file: live,
        from: '  // Before all else: our checkpoint would merge the wrong log.\n  refuseOtherLog(path);\n',
        to: '',
      },
      { file: snapshot, from: 'if (pinned.log) refuseOtherLog(pinned.path);', to: 'if (pinned.log) void 0;' },
      { file: snapshot, from: 'if (isUnwritten(pin)) return copied;', to: 'return copied;' },
    ],
    caughtBy: test(
      'src/engine/sqlite/other-log.test.ts',
      'an app that uses the file by another name is named, with the name, before we open it',
    ),
  },
  {
    name: 'nobody looks for what a crash left under another name',
    patches: [{ file: 'src/engine/sqlite/other-log.ts', from: '  refuseLeftElsewhere(path);\n', to: '' }],
    caughtBy: test(
      'src/engine/sqlite/left-elsewhere.test.ts',
      'an interrupted transaction under another name is refused, not half backed up (delete)',
    ),
  },
  {
    name: 'a writer that lives is not seen once it keeps readers out',
    patches: [
      {
        file: 'src/engine/sqlite/left-elsewhere.ts',
        from: 'from <= RESERVED_BYTE',
        to: 'from === RESERVED_BYTE',
      },
    ],
    caughtBy: test(
      'src/engine/sqlite/left-elsewhere.test.ts',
      'a writer that keeps readers out, its journal on the disk, is no reason either',
    ),
  },
  {
    name: 'nobody looks again for what a crash left, once the copy is made',
    patches: [{ file: snapshot, from: '    else refuseLeftElsewhere(pinned.path);\n', to: '' }],
    caughtBy: test(
      'src/engine/sqlite/left-elsewhere.test.ts',
      'a crash while we copy by another name is found before the copy counts',
    ),
  },
  {
    name: 'nobody looks again for another log, once the copy is made',
    patches: [{ file: snapshot, from: 'if (pinned.log) refuseOtherLog(pinned.path);', to: 'if (pinned.log) void 0;' }],
    caughtBy: test(
      'src/engine/sqlite/other-log.test.ts',
      'an app that comes by another name while we copy is found before the copy counts',
    ),
  },
  {
    name: 'the pin stays after a copy that failed',
    patches: [
      { file: 'src/engine/sqlite/snapshot.ts', from: '    if (!options.keepPin) pinned[Symbol.dispose]();\n', to: '' },
    ],
    caughtBy: test('src/engine/sqlite/snapshot.test.ts', 'an aborted copy releases the pin'),
  },
  {
    name: 'the copy has what lies behind its pages',
    patches: [
      {
        file: 'src/engine/sqlite/snapshot.ts',
        from: '    cutToPages(path);\n',
        to: "    if (path === '') cutToPages(path);\n",
      },
    ],
    caughtBy: test(
      'src/engine/sqlite/snapshot.test.ts',
      'what a killed app left behind the pages of its file is not in the copy',
    ),
  },
  {
    name: 'a write of the header without its checksum',
    patches: [{ file: snapshot, from: '  renewFirstChecksum(chunk);\n', to: '' }],
    caughtBy: test(
      'src/engine/sqlite/page-checksum.test.ts',
      'a copy of a database in wal mode has a right checksum on page 1',
    ),
  },
  {
    name: 'a checkpoint that waits for readers',
    patches: [
      {
        file: live,
        from: "prepare('PRAGMA wal_checkpoint(PASSIVE)')",
        to: "prepare('PRAGMA wal_checkpoint(TRUNCATE)')",
      },
    ],
    caughtBy: torture('impatient'),
  },
  {
    name: 'a checkpoint by a library that may corrupt the log',
    patches: [{ file: 'src/engine/sqlite/live-database.ts', from: '  if (minor === 51) return patch < 3;\n', to: '' }],
    caughtBy: test(
      'src/engine/sqlite/live-database.test.ts',
      'the libraries with the WAL-reset bug are known by their version',
    ),
  },
  {
    name: 'an old library closes beside others',
    patches: [
      {
        file: 'src/engine/sqlite/ending.ts',
        from: 'return major === 3 && minor < 51;',
        to: 'return major === 3 && minor < 0;',
      },
    ],
    caughtBy: test(
      'src/engine/sqlite/ending.test.ts',
      'a job of an old library leaves the log of an app that lost its locks, and so its next rows',
    ),
  },
  {
    name: 'a stamp without the time of the last change',
    patches: [
      {
        file: 'src/engine/sqlite/stamp.ts',
        from: '  if (earlier.main.changedNs !== current.main.changedNs) return false;\n',
        to: '',
      },
    ],
    caughtBy: test(
      'src/engine/sqlite/stamp.test.ts',
      'a commit whose time was set back is a change, and so is all behind a stamp that did not note when',
    ),
  },

  // The judge
  {
    name: 'page accounting left out of the judge',
    patches: [{ file: judge, from: 'this.#findings.structure.push(...(account?.complaints ?? []));', to: '' }],
    caughtBy: test(
      'src/engine/sqlite/verify.test.ts',
      'a page that a table and the freelist both claim is found, though a view hides it from SQLite’s own check',
    ),
  },
  {
    name: 'findings about content treated as damage',
    patches: [
      {
        file: judge,
        from: 'else this.break(complaint.table, complaint.rule, complaint.isRow && isCounted ? 1 : null);',
        to: 'else this.structure.push(text);',
      },
    ],
    caughtBy: test(
      'src/engine/sqlite/judge.test.ts',
      'rows that break a rule of their table are told with table, rule and number, and the file is good',
    ),
  },
  {
    name: 'rows that break rules hide damage',
    patches: [
      { file: judge, from: 'if (this.#check(this.#method, ROWS_MAX) < ROWS_MAX) return true;', to: 'return true;' },
    ],
    caughtBy: test(
      'src/engine/sqlite/judge.test.ts',
      'damage behind many rows that break rules is found, and the rows are all counted otherwise',
    ),
  },

  // From staging to a backup
  {
    name: 'manifest before file',
    patches: [
      { file: publish, from: '  renameSync(staging.file, published);\n', to: '' },
      {
        file: publish,
        from: 'statSync(published, { bigint: true });',
        to: 'statSync(staging.file, { bigint: true });',
      },
      {
        file: publish,
        from: 'published: { modifiedNs: String(mtimeNs) } });\n',
        to: 'published: { modifiedNs: String(mtimeNs) } });\n    renameSync(staging.file, published);\n    await syncFolder(catalog.folder);\n',
      },
    ],
    caughtBy: order,
  },
  {
    name: 'no fsync of the file',
    patches: [{ file: publish, from: '    fsyncSync(file);\n', to: '' }],
    caughtBy: order,
  },
  {
    name: 'no fsync of the folder after the file is there',
    patches: [{ file: publish, from: '    await syncFolder(catalog.folder);\n', to: '' }],
    caughtBy: order,
  },
  {
    name: 'no fsync of the folder after the manifest is there',
    patches: [
      {
        file: catalog,
        from: '    this.#known.forget(manifest.name);\n    await syncFolder(this.folder);\n',
        to: '    this.#known.forget(manifest.name);\n',
      },
    ],
    caughtBy: order,
  },
  {
    name: 'no fsync of the manifest',
    patches: [{ file: catalog, from: '        await file.sync();\n', to: '' }],
    caughtBy: order,
  },
  {
    name: 'the name is not announced before the file takes it',
    patches: [{ file: publish, from: '  await staging.announce(manifest.name);\n', to: '' }],
    caughtBy: order,
  },
  {
    name: 'a name is not announced, and the run is killed',
    patches: [
      { file: publish, from: '  await staging.announce(manifest.name);\n', to: '' },
      {
        file: publish,
        from: '    await syncFolder(catalog.folder);\n',
        to: `    ${aWhile}`,
      },
    ],
    caughtBy: kills('backup', 25),
  },
  {
    name: 'no fsync of the folder in which a new one is made',
    patches: [{ file: 'src/engine/disk/private-folder.ts', from: '    syncNewFolder(folder);\n', to: '' }],
    caughtBy: test(
      'src/engine/disk/private-folder.test.ts',
      'each folder that is made is an entry of a folder that is synced',
    ),
  },
  {
    name: 'a file whose manifest could not be written stays',
    patches: [{ file: 'src/engine/catalog/publish.ts', from: '    rmSync(published, { force: true });\n', to: '' }],
    caughtBy: test(
      'src/engine/stories/backup.test.ts',
      'a manifest that can not be written leaves no file that looks like a foreign backup',
    ),
  },
  {
    name: 'two runs work in one folder',
    patches: [
      {
        file: 'src/engine/stories/backup.ts',
        from: '    using _lock = await takeLock(path, lock);\n',
        to: '    if (lock.waitMs < 0) await takeLock(path, lock);\n',
      },
    ],
    caughtBy: test('src/engine/stories/backup.test.ts', 'a second run on the folder is refused while one holds it'),
  },

  // Retention
  {
    name: 'retention before commit',
    patches: [retentionBeforeCommit('')],
    caughtBy: order,
  },
  {
    name: 'retention before commit, and the run is killed',
    patches: [retentionBeforeCommit(`  ${aWhile}`)],
    caughtBy: kills('backup', 25),
  },
  {
    name: 'no look again before a removal',
    patches: [{ file: catalog, from: '    if (!isMeant(await this.#list({ all: true }))) return null;\n', to: '' }],
    caughtBy: test(
      'src/engine/catalog/prune-folder.test.ts',
      'a backup that is pinned after the plan was made is kept, and all the others go',
    ),
  },
  {
    name: 'a removal without the lock of the manifests',
    patches: [
      {
        file: catalog,
        from: '    using _lock = await this.lockManifests();\n    if (!isMeant',
        to: '    if (!isMeant',
      },
    ],
    caughtBy: test('src/engine/catalog/prune-folder.test.ts', 'a pin that is set just now comes first'),
  },
  {
    name: 'the manifest is removed before its file',
    patches: [
      { file: catalog, from: '    await unlinkFile(backup.path).catch(gone);\n', to: '' },
      {
        file: catalog,
        from: '    await unlink(join(this.folder, manifestName(backup.name))).catch(gone);\n',
        to: '    await unlink(join(this.folder, manifestName(backup.name))).catch(gone);\n    await unlinkFile(backup.path).catch(gone);\n',
      },
    ],
    caughtBy: order,
  },
  {
    name: 'a file that was uploaded is restored as the latest backup',
    patches: [
      {
        file: 'src/engine/restore-points/plan.ts',
        from: "latest: { passesOver: ['safety', 'arrived', 'damaged'",
        to: "latest: { passesOver: ['safety', 'damaged'",
      },
    ],
    caughtBy: test(
      'tests/service/arrivals.test.ts',
      'what came from elsewhere is used only by its name, and retention spares it',
    ),
  },
  {
    name: 'a piece of an upload that came after its check is adopted unchecked',
    patches: [
      {
        file: 'src/service/backups/arrivals.ts',
        from: '    if (!checked || checked.identity !== identityOf(this.#folder.file(id)))',
        to: '    if (!checked)',
      },
      {
        file: 'src/service/backups/arrivals.ts',
        from: '      if (record.checked) this.#folder.write(id, { ...record, checked: null });\n',
        to: '',
      },
    ],
    caughtBy: test(
      'tests/service/arrivals.test.ts',
      'pieces follow each other, one may be sent again, and none goes beyond the end',
    ),
  },
  {
    name: 'retention removes the newest good backup',
    patches: [
      {
        file: 'src/engine/catalog/retention.ts',
        from: "    if (backup === newestVerified) reasons.push('newest verified backup');\n",
        to: '',
      },
    ],
    caughtBy: test(
      'src/engine/catalog/retention.test.ts',
      'the newest verified backup outlives newer ones that are damaged',
    ),
  },
  {
    name: 'retention removes a young safety backup',
    patches: [
      {
        file: 'src/engine/catalog/retention.ts',
        from: 'ageMs(backup, now) < SAFETY_DAYS * DAY_MS)',
        to: 'ageMs(backup, now) < SAFETY_DAYS)',
      },
    ],
    caughtBy: test(
      'src/engine/catalog/retention.test.ts',
      'a safety backup is kept for 30 days beside the count, then goes',
    ),
  },
  {
    name: 'a file is truncated although somebody may read it',
    patches: [
      {
        file: 'src/engine/disk/remove-gently.ts',
        from: ' || !isSurelyUnused(file.fd, folder)',
        to: '',
      },
    ],
    caughtBy: test('src/engine/disk/remove-gently.test.ts', 'who reads it meanwhile keeps all of it'),
  },
  {
    name: 'a file is truncated and then unlinked',
    patches: [
      {
        file: 'src/engine/disk/remove-gently.ts',
        from: '    await unlink(path);\n',
        to: '    await file?.truncate(0);\n    await unlink(path);\n',
      },
    ],
    caughtBy: test('src/engine/disk/remove-gently.test.ts', 'another name of the same file keeps all of it'),
  },
  {
    name: 'a file counts as unused by those who can not be seen',
    patches: [
      {
        file: 'src/engine/sqlite/open-files.ts',
        from: "look(pid, file, ours) !== 'not open'",
        to: "look(pid, file, ours) === 'open'",
      },
      { file: 'src/engine/sqlite/open-files.ts', from: '    return !hasEnded(error);', to: '    return false;' },
    ],
    caughtBy: test(
      'src/engine/disk/remove-gently.test.ts',
      'a reader whom /proc does not show to the user who removes keeps all of it',
    ),
  },
  {
    name: 'a file counts as unused by those in other containers',
    patches: [
      { file: 'src/engine/sqlite/open-files.ts', from: "  if (!isFirstNamespace()) return 'container';\n", to: '' },
    ],
    caughtBy: test(
      'src/engine/disk/remove-gently.test.ts',
      'so does a reader outside of the container of whoever removes',
    ),
  },

  // Restores
  {
    name: 'what was committed before the replacement is not kept',
    patches: [
      {
        file: 'src/engine/stories/late-commits.ts',
        from: '  if (end.frames === 0 ||',
        to: '  if (end.frames >= 0 ||',
      },
    ],
    caughtBy: kills('online', 20, 15),
  },
  {
    name: 'what was committed before the replacement is not kept, where there is no log',
    patches: [
      {
        file: 'src/engine/stories/held-database.ts',
        from: 'if (hasCommits(watched)) explained',
        to: 'if (hasCommits(watched) && isWal) explained',
      },
    ],
    caughtBy: test(
      'tests/faults/late-commits.test.ts',
      'an undo brings back what was committed between the safety backup and the replacement (delete)',
    ),
  },
  {
    name: 'a commit that failed before the replacement is kept',
    patches: [
      {
        file: 'src/engine/stories/late-commits.ts',
        from: 'keep(folder, safetyBackup, source, logBytes(end, pinned.pageSize));',
        to: "keep(folder, safetyBackup, source, statSync(pinned.path + '-wal').size);",
      },
    ],
    caughtBy: test(
      'src/engine/stories/late-commits.test.ts',
      'a commit that failed before the database was replaced is not brought back',
    ),
  },
  {
    name: 'a database that a killed restore took out of WAL mode stays so',
    patches: [
      {
        file: 'src/engine/sqlite/place.ts',
        from: 'if (!isNote || giveModeBack(staged, join(folder, destination))) removeIfAllowed(staged);',
        to: 'removeIfAllowed(staged);',
      },
    ],
    caughtBy: test(
      'src/engine/sqlite/place.test.ts',
      'a database that a killed restore took out of WAL mode gets it back',
    ),
  },
  {
    name: 'a database is replaced offline although somebody is connected',
    patches: [
      {
        file: 'src/engine/sqlite/out-of-wal.ts',
        from: "    if (pragma(connection, 'journal_mode = DELETE') !== 'delete') throw inUse(databasePath);\n",
        to: '',
      },
    ],
    caughtBy: test(
      'src/engine/stories/held-database.test.ts',
      'offline, a database in WAL mode to which anybody is connected is refused, seen or not, and stays as it is',
    ),
  },
  {
    name: 'a replacement that may have gone through leaves no undo',
    patches: [
      {
        file: 'src/engine/stories/restore.ts',
        from: '    throw isLocked ? cutShort(request, backup, BackupError.from(error)) : error;',
        to: '    throw isLocked ? BackupError.from(error) : error;',
      },
    ],
    caughtBy: test(
      'src/engine/stories/restore.test.ts',
      'where SQLite can not end the replacement, the undo stays, and what was there is there',
    ),
  },
  {
    name: 'the digest of a backup is not compared before it is placed',
    patches: [
      {
        file: 'src/engine/stories/check-source.ts',
        from: '  if (promised !== null && sha256 !== promised) {\n    throw new',
        to: "  if (sha256 === '') {\n    throw new",
      },
    ],
    caughtBy: test('tests/faults/planted.test.ts', 'a backup that was replaced after its verification is not restored'),
  },
  {
    name: 'what a kill left beside the database stays',
    patches: [{ file: 'src/engine/sqlite/staged.ts', from: '(-wal|-shm|-journal)?$/', to: '()$/' }],
    caughtBy: test(
      'src/engine/sqlite/place.test.ts',
      'logs and journals that a kill left of what was staged go too, and those of the database stay',
    ),
  },
  {
    name: 'a full disk is told as something else',
    patches: [
      {
        file: 'src/engine/stories/held-database.ts',
        from: "reason.code === 'DISK_FULL' ? 'DISK_FULL' : 'RESTORE_SAFETY_FAILED'",
        to: "reason.code === 'BUSY' ? 'DISK_FULL' : 'RESTORE_SAFETY_FAILED'",
      },
    ],
    caughtBy: test(
      'src/engine/stories/restore.test.ts',
      'where the disk is too full for the safety backup, that is what the error says',
    ),
  },
  {
    name: 'a backup may be exchanged before it is placed',
    patches: [
      {
        file: 'src/engine/stories/check-source.ts',
        from: '  if (identityOf(request.source) !== identity) throw changedMeanwhile(request);\n',
        to: '',
      },
    ],
    caughtBy: test(
      'tests/faults/planted.test.ts',
      'a backup that is exchanged while the safety backup is made is not placed',
    ),
  },

  // What other users leave
  {
    name: 'a configuration of another user is run',
    patches: [
      { file: 'src/config/trusted-file.ts', from: '  if (!owners.has(found.uid)) {', to: '  if (path === "") {' },
    ],
    caughtBy: test('tests/cli/trusted-file.test.ts', 'a file counts only if nobody else can have written it'),
  },
  {
    name: 'a download lies beside --to, whoever may write there',
    patches: [
      {
        file: 'src/engine/disk/kept-downloads.ts',
        from: 'if (isOwn(statSync(dirname(to))) && isOwnOrMissing(beside)) return beside;',
        to: 'if (isOwnOrMissing(dirname(to)) || beside) return beside;',
      },
    ],
    caughtBy: test(sharedTests, 'a cut download to a shared folder goes on from the cache of the user'),
  },
  {
    name: 'the bytes of a download follow a link',
    patches: [
      {
        file: 'src/engine/disk/partial-file.ts',
        from: '  return found?.isFile() && found.nlink === 1 ? found.size : null;',
        to: '  return found ? 0 : null;',
      },
      { file: 'src/engine/sqlite/open-new.ts', from: ' | O_NOFOLLOW;', to: ' | (O_NOFOLLOW & 0);' },
      {
        file: 'src/engine/disk/partial-file.ts',
        from: 'found.isFile() && found.nlink === 1) return file',
        to: 'found) return file',
      },
    ],
    caughtBy: test(sharedTests, 'root that backs up and restores in a folder of another user follows none'),
  },
  {
    name: 'a note beside a database is obeyed, whoever left it',
    patches: [{ file: 'src/engine/sqlite/place.ts', from: '    if (!mayBeOurs(staged)) continue;\n', to: '' }],
    caughtBy: test(sharedTests, 'a note that another user left beside a database does not change its mode'),
  },
  {
    name: 'what became a link below a glob is backed up',
    patches: [{ file: 'src/fleet/fleet.ts', from: "    if ('databasePath' in request) refuse();\n", to: '' }],
    caughtBy: test('tests/service/fleet.test.ts', 'a glob follows no link'),
  },
  // Nothing hostile, nothing exhausted
  {
    name: 'a check has no clock',
    patches: [{ file: watch, from: '(user + system) / 1_000 > untilMs', to: 'false' }],
    caughtBy: test(hostile, 'a check that takes more time than an honest one is given up, and says so'),
  },
  {
    name: 'a check has no limit of memory',
    patches: [{ file: watch, from: 'memoryBytes() > bytes', to: 'false' }],
    caughtBy: test(hostile, 'a check that takes more memory than an honest one is given up, and says so'),
  },
  {
    name: 'a job outlives its parent',
    patches: [{ file: watch, from: 'process.ppid !== workerData.parent', to: 'false' }],
    caughtBy: test(hostile, 'a job ends with its parent in the middle of a statement'),
  },
  {
    name: 'a drill takes the place of a backup',
    patches: [{ file: 'src/service/runs/job-slots.ts', from: "      return 'drill';", to: "      return 'copy';" }],
    caughtBy: test('src/service/runs/job-slots.test.ts', 'drills wait for each other and hold up no copy'),
  },
  {
    name: 'a lock is set aside for want of a descriptor',
    patches: [{ file: 'src/engine/disk/lock.ts', from: '    requireDescriptors();\n', to: '' }],
    caughtBy: test(
      'tests/faults/exhausted.test.ts',
      '6 descriptors left before the service began: all that is asked for answers, and the app lives on',
    ),
  },
];

/** As if the new backup were there already. */
function retentionBeforeCommit(more: string): Patch {
  const retention = '{ ...purpose.retention, count: purpose.retention.count - 1 }';
  const from = '  const databaseId = await publishAsOwn(';
  const to = `  if (purpose.trigger !== 'safety') await prune(catalog, self, ${retention}, context);\n${more}${from}`;
  return { file: 'src/engine/stories/backup.ts', from, to };
}
