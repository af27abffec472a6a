/** What is wrong with the database itself and the SQLite that reads it. */
import { LOSS_DAYS } from '../../engine/catalog/loss.ts';
import { formatSize } from '../log.ts';
import { lossText } from '../protection/loss-text.ts';
import { BRING_BACK } from '../protection/missing.ts';
import { type Check, found, MIB, ok } from './finding.ts';

/** What an app's own checkpoints leave at most; far above, something keeps them from it. */
const WAL_LARGE_BYTES = 64 * MIB;

const WAL_HELD_BYTES = 8 * MIB;

export const databaseOpens: Check = ({ database: { exists, isLost, path, complaint } }) => {
  const code = 'database';
  if (isLost) {
    return found('problem', code, {
      what: `there is no file at ${path}, and it was backed up before`,
      why: 'Nothing can be backed up, and no backup is removed until it is back.',
      fix: `Check DATABASE_URL. If the file is lost: ${BRING_BACK}`,
    });
  }
  if (!exists) {
    return found('problem', code, {
      what: `there is no file at ${path}`,
      why: 'Nothing can be backed up.',
      fix: 'Check DATABASE_URL, or start the app that creates the database.',
    });
  }
  if (complaint === null) return ok(code, `${path} can be read`);
  return found('problem', code, {
    what: complaint.message,
    why: 'A backup would fail for the same reason.',
    fix: complaint.hint,
  });
};

export const libraryIsSafe: Check = ({ sqlite: { sqlite, hasWalResetBug } }) => {
  const code = 'sqlite-version';
  if (!hasWalResetBug) return ok(code, `SQLite ${sqlite}`);
  return found('warning', code, {
    what: `SQLite ${sqlite} of this runtime has the WAL-reset bug`,
    why: 'From 3.7.0 to 3.51.2 two connections that write or checkpoint at once can corrupt a database in WAL mode. We issue no checkpoint with it; the app may.',
    fix: 'Update the runtime, and the SQLite driver of the app: it is fixed in 3.51.3, 3.50.7 and 3.44.6.',
  });
};

export const libraryMissesNoLocks: Check = ({ sqlite: { sqlite, missesLostLocks } }) => {
  if (!missesLostLocks) return null;
  return found('info', 'sqlite-locks', {
    what: `SQLite ${sqlite} of this runtime can't tell when an app has lost its locks`,
    why: 'An app loses them when it copies or reads its own database file. The next program that closes the database then deletes the log under it. Ours leaves the log alone; others may not.',
    fix: 'Update the runtime: SQLite notices it from 3.51 on. In the app, open the database file only through SQLite.',
  });
};

export const journalIsWal: Check = ({ database: { journalMode } }) => {
  const code = 'journal-mode';
  if (journalMode === null) return null;
  if (journalMode === 'wal') return ok(code, 'the database is in WAL mode');
  return found('warning', code, {
    what: `the database is in journal mode ${journalMode}`,
    why: 'Each backup makes writers wait for as long as the copy takes, and a restore needs the app to be stopped.',
    fix: 'Set `PRAGMA journal_mode = WAL` once in the app; the database remembers it.',
  });
};

export const logShrinks: Check = ({
  database: { journalMode, walBytes },
  unmergedBytes,
  sqlite: { hasWalResetBug },
}) => {
  const code = 'wal-size';
  if (journalMode !== 'wal') return null;
  // One backup may have met a reader by chance; several in a row met one that stays.
  const heldBytes = unmergedBytes.length < 2 ? 0 : Math.min(...unmergedBytes);
  // When the reader has gone, an app's checkpoint may have emptied it since.
  if (heldBytes >= WAL_HELD_BYTES && walBytes >= WAL_HELD_BYTES) {
    return found('warning', code, {
      what: `the last ${unmergedBytes.length} backups each found at least ${formatSize(heldBytes)} of the write-ahead log that could not be merged; it now has ${formatSize(walBytes)}`,
      why: 'A reader that never ends its transaction holds it. The log keeps growing, and reads become slow.',
      fix: 'Find the connection that keeps a transaction or an unfinished query open, and end it.',
    });
  }
  if (walBytes >= WAL_LARGE_BYTES) {
    return found('info', code, {
      what: `the write-ahead log has ${formatSize(walBytes)}`,
      why: hasWalResetBug
        ? 'It grew because of a large transaction, or a reader holds it: with this SQLite we issue no checkpoint that would show which.'
        : 'It grew once, because of a long read or one large transaction, and SQLite keeps the space.',
      fix: 'Nothing, if the disk has room; `PRAGMA journal_size_limit` in the app makes it shrink.',
    });
  }
  return ok(code, `the write-ahead log has ${formatSize(walBytes)}`);
};

export const isAlone: Check = ({ database: { replicators } }) => {
  const code = 'replication';
  if (replicators.length === 0) return ok(code, 'no trace of Litestream was seen');
  return found('warning', code, {
    what: `another tool replicates this database: ${replicators.join(', ')}`,
    why: 'Such a tool needs to be the only one that checkpoints; our checkpoint at each backup may make it start over.',
    fix: 'Use one of the two, or make backups rarely, for example once a day. If it is no longer in use, remove what it left behind.',
  });
};

export const checkHasNoRemarks: Check = ({ remarks }) => {
  if (remarks.length === 0) return null;
  return found('info', 'check', {
    what: `the newest backup is good, but its check has remarks: ${remarks.join('; ')}`,
    why: 'Rows that break a rule are the app’s own, and come back as they were. What this SQLite could not check was accounted for page by page.',
    fix: 'Nothing has to be done for the backups.',
  });
};

export const nothingWasLost: Check = ({ loss }) => {
  if (loss === null) return null;
  return found('problem', 'loss', {
    what: `much was lost: ${lossText(loss)}`,
    why: `${loss.before} is the last backup before it. It is kept for ${LOSS_DAYS} days, or until somebody confirms that it was intended.`,
    fix: `Compare: velist-backup diff ${loss.before} ${loss.filename}. If it was intended: velist-backup accept-loss ${loss.filename}`,
  });
};
