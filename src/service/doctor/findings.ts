/**
 * What is wrong, or may go wrong, with the way an app and its backups are set up. Pure: facts in, findings out, so that
 * each can be tried without the disk, the server or the mistake that it is about. A finding says what was found, why it
 * matters, and what to do.
 */
import { capturedFinding } from './captured-finding.ts';
import { LOSS_DAYS } from '../../engine/catalog/loss.ts';
import { formatSize } from '../log.ts';
import { lossText } from '../protection/loss-text.ts';
import { BRING_BACK } from '../protection/missing.ts';
import type { Finding, TargetReport } from '../model.ts';
import { closeIt, octal } from '../protection/open-folder.ts';
import { PASSWORD_GOOD, PASSWORD_LEAST } from '../password.ts';
import { targetWord } from '../../words/target-word.ts';
import { isLoopback } from '../../words/loopback.ts';
import { buckets, type DoctorFacts, wordsOf } from './facts.ts';

type Check = (facts: DoctorFacts) => Finding | null;

/** The worst first; a check that has nothing to look at says nothing. */
export function findAll(facts: DoctorFacts): readonly Finding[] {
  const findings = [
    ...checks.flatMap((check) => check(facts) ?? []),
    ...facts.database.doubts.flatMap(ofDoubt),
    ...facts.places.flatMap(ofWriter),
    ...[facts.s3, ...facts.targets].flatMap(({ test }) => ofTarget(test)),
  ];
  return findings.toSorted((a, b) => severities.indexOf(a.severity) - severities.indexOf(b.severity));
}

const severities: readonly Finding['severity'][] = ['problem', 'warning', 'info', 'ok'];

/** True when somebody should act. */
export function isOfWeight({ severity }: Finding): boolean {
  return severity === 'problem' || severity === 'warning';
}

const ok = (code: string, what: string): Finding => ({ code, severity: 'ok', what, why: null, fix: null });
const found = (
  severity: Exclude<Finding['severity'], 'ok'>,
  code: string,
  { what, why, fix }: { readonly what: string; readonly why: string; readonly fix: string },
): Finding => ({ code, severity, what, why, fix });

const MIB = 1024 ** 2;

// ── the database ──

const databaseOpens: Check = ({ database: { exists, isLost, path, complaint } }) => {
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

const libraryIsSafe: Check = ({ sqlite: { sqlite, hasWalResetBug } }) => {
  const code = 'sqlite-version';
  if (!hasWalResetBug) return ok(code, `SQLite ${sqlite}`);
  return found('warning', code, {
    what: `SQLite ${sqlite} of this runtime has the WAL-reset bug`,
    why: 'From 3.7.0 to 3.51.2 two connections that write or checkpoint at once can corrupt a database in WAL mode. We issue no checkpoint with it; the app may.',
    fix: 'Update the runtime, and the SQLite driver of the app: it is fixed in 3.51.3, 3.50.7 and 3.44.6.',
  });
};

const libraryMissesNoLocks: Check = ({ sqlite: { sqlite, missesLostLocks } }) => {
  if (!missesLostLocks) return null;
  return found('info', 'sqlite-locks', {
    what: `SQLite ${sqlite} of this runtime can't tell when an app has lost its locks`,
    why: 'An app loses them when it copies or reads its own database file. The next program that closes the database then deletes the log under it. Ours leaves the log alone; others may not.',
    fix: 'Update the runtime: SQLite notices it from 3.51 on. In the app, open the database file through SQLite alone.',
  });
};

const journalIsWal: Check = ({ database: { journalMode } }) => {
  const code = 'journal-mode';
  if (journalMode === null) return null;
  if (journalMode === 'wal') return ok(code, 'the database is in WAL mode');
  return found('warning', code, {
    what: `the database is in journal mode ${journalMode}`,
    why: 'Each backup holds writers off for as long as the copy takes, and a restore needs the app to be stopped.',
    fix: 'Set `PRAGMA journal_mode = WAL` once in the app; the database remembers it.',
  });
};

/** What an app's own checkpoints leave at most; far above, something keeps them from it. */
const WAL_LARGE_BYTES = 64 * MIB;
const WAL_HELD_BYTES = 8 * MIB;

const logShrinks: Check = ({ database: { journalMode, walBytes }, unmergedBytes, sqlite: { hasWalResetBug } }) => {
  const code = 'wal-size';
  if (journalMode !== 'wal') return null;
  // One backup may have met a reader by chance; several in a row met one that stays.
  const heldBytes = unmergedBytes.length < 2 ? 0 : Math.min(...unmergedBytes);
  // When the reader has gone, an app's checkpoint may have emptied it since.
  if (heldBytes >= WAL_HELD_BYTES && walBytes >= WAL_HELD_BYTES) {
    return found('warning', code, {
      what: `the last ${unmergedBytes.length} backups each found at least ${formatSize(heldBytes)} of the write-ahead log that could not be merged; it now has ${formatSize(walBytes)}`,
      why: 'A reader that never ends its transaction holds it. The log grows without end, and reads become slow.',
      fix: 'Find the connection that keeps a transaction or an unfinished query open, and end it.',
    });
  }
  if (walBytes >= WAL_LARGE_BYTES) {
    return found('info', code, {
      what: `the write-ahead log has ${formatSize(walBytes)}`,
      why: hasWalResetBug
        ? 'It grew by a large transaction, or a reader holds it: with this SQLite we issue no checkpoint that would tell.'
        : 'It grew once, by a long reader or one large transaction, and SQLite keeps its room.',
      fix: 'Nothing, if the disk has room; `PRAGMA journal_size_limit` in the app makes it shrink.',
    });
  }
  return ok(code, `the write-ahead log has ${formatSize(walBytes)}`);
};

const isAlone: Check = ({ database: { replicators } }) => {
  const code = 'replication';
  if (replicators.length === 0) return ok(code, 'no trace of Litestream was seen');
  return found('warning', code, {
    what: `another tool replicates this database: ${replicators.join(', ')}`,
    why: 'Such a tool wants to be the only one that checkpoints; our checkpoint of each backup may make it begin anew.',
    fix: 'Use one of the two, or make backups rarely, for instance once a day. If it is no longer in use, remove what it left.',
  });
};

// ── where things lie ──

/** By the names of mounts; `live-database.ts` knows those that `statfs` tells by number, and that is fewer. */
const networkKinds =
  /^(nfs\d*|cifs|smb\w*|9p|afs|ceph|glusterfs|lustre|gfs2|ocfs2|beegfs|virtiofs|vboxsf|fakeowner|fuse\.(sshfs|s3fs|rclone|glusterfs|gcsfuse|grpcfuse|juicefs|ceph))$/;

const databaseIsLocal: Check = ({ database: { fileSystem, path } }) => {
  const code = 'database-disk';
  if (fileSystem === null) return null;
  if (!networkKinds.test(fileSystem)) return ok(code, `${path} lies on ${fileSystem}`);
  return found('problem', code, {
    what: `the database lies on a network file system (${fileSystem})`,
    why: "SQLite's locks may not hold there, and WAL mode does not work over it: the database can be corrupted.",
    fix: 'Move it to a disk of this machine.',
  });
};

function ofDoubt({ what, why, fix }: DoctorFacts['database']['doubts'][number]): readonly Finding[] {
  return [found('warning', 'sharing', { what, why, fix })];
}

const folderIsDurable: Check = (facts) => {
  const { fileSystem, path } = facts.folder;
  const code = 'folder-disk';
  if (fileSystem === null) return null;
  if (fileSystem === 'tmpfs' || fileSystem === 'ramfs') {
    return found('problem', code, {
      what: `the backups lie in memory (${fileSystem})`,
      why: 'A restart of the machine takes them all.',
      fix: 'Set BACKUP_LOCAL_PATH to a folder on a disk.',
    });
  }
  if (fileSystem === 'overlay') {
    return found(buckets(facts).length > 0 ? 'info' : 'warning', code, {
      what: "the backups lie in the container's own layer (overlay)",
      why: 'They go when the container is made anew, as with each deployment.',
      fix: 'Mount a volume and set BACKUP_LOCAL_PATH to it.',
    });
  }
  if (networkKinds.test(fileSystem)) {
    return found('info', code, {
      what: `the backups lie on a network file system (${fileSystem})`,
      why: 'The lock that keeps two runs apart may not be seen by other machines there.',
      fix: 'Let one machine alone write into this folder.',
    });
  }
  return ok(code, `${path} lies on ${fileSystem}`);
};

const isElsewhere: Check = (facts) => {
  const { database, folder } = facts;
  const code = 'same-disk';
  const near = buckets(facts).filter(({ isOnSameDisk }) => isOnSameDisk);
  if (near.length > 0) {
    return found('warning', code, {
      what: `the target ${wordsOf(near)} lies on the disk of the database`,
      why: 'When that disk is lost, both are.',
      fix: 'Name a folder on another disk, and see that it is mounted.',
    });
  }
  if (database.device === null || folder.device === null) return null;
  if (database.device !== folder.device) return ok(code, 'database and backups lie on two disks');
  const [bucket] = buckets(facts);
  if (bucket) return ok(code, `database and backups lie on one disk, and copies are on ${bucket.word}`);
  return found('warning', code, {
    what: 'database and backups lie on one disk, and there is no other copy',
    why: 'When that disk or machine is lost, both are.',
    fix: 'Switch S3 on (BACKUP_S3_ENABLED), or set BACKUP_LOCAL_PATH to another disk.',
  });
};

const hasRoom: Check = ({ database, folder, settings }) => {
  const code = 'free-disk';
  const { freeBytes } = folder;
  const eachBytes = database.sizeBytes + database.walBytes;
  const free = `${formatSize(freeBytes)} free for backups of ${formatSize(eachBytes)}`;
  if (freeBytes < eachBytes + 16 * MIB) {
    return found('problem', code, {
      what: free,
      why: 'The next backup does not fit.',
      fix: 'Free space on that disk, or keep fewer backups.',
    });
  }
  const { retentionCount, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly } = settings;
  // At most: one backup may be kept for several reasons.
  const periods = folder.fitting ?? keepHourly + keepDaily + keepWeekly + keepMonthly + keepYearly;
  const kept = retentionCount + periods;
  const missing = Math.max(0, kept - folder.count);
  if (freeBytes < missing * eachBytes) {
    return found('warning', code, {
      what: `${free}; ${missing} more are to be kept`,
      why: 'The disk is full before retention begins to remove backups.',
      fix: `Free space, or keep fewer than ${kept} backups.`,
    });
  }
  if (freeBytes < 3 * eachBytes) {
    return found('warning', code, {
      what: free,
      why: 'A restore makes a safety backup first and a drill restores a whole one: both need room for a database.',
      fix: 'Free space on that disk, or keep fewer backups.',
    });
  }
  return ok(code, free);
};

const placesAreOurs: Check = ({ places = [], folder }) => {
  const code = 'identity';
  const known = places.filter(({ owner }) => owner !== 'unknown' && owner !== 'new');
  const foreign = known.find(({ owner }) => owner === 'foreign');
  const nameOf = (target: string) => (target === 'local' ? folder.path : targetWord(target));
  if (foreign) {
    const isLocal = foreign.target === 'local';
    return found('problem', code, {
      what: `${nameOf(foreign.target)} holds the backups of another database, ${foreign.other?.name}`,
      why: 'Nothing of this database is written there, and nothing is removed.',
      fix: `Give this one ${isLocal ? 'a folder (BACKUP_LOCAL_PATH)' : 'a prefix (BACKUP_S3_PATH)'} of its own. If it is the same database, moved or renamed: velist-backup claim${isLocal ? '' : ` --target ${foreign.target}`}`,
    });
  }
  const mixed = known.find(({ owner }) => owner === 'mixed');
  if (mixed) {
    return found('info', code, {
      what: `${nameOf(mixed.target)} holds backups of several databases, from a version before 0.2`,
      why: 'They are told apart by their manifests; of what can not be told apart nothing is removed.',
      fix: 'Give each database a folder and a prefix of its own; what is here can be restored as before.',
    });
  }
  return known.length > 0 ? ok(code, 'the places of the backups belong to this database') : null;
};

// ── who may look ──

const OTHERS = 0o077;
const OTHERS_WRITE = 0o002;

const folderIsPrivate: Check = ({ folder }) => {
  const code = 'permissions';
  if (folder.complaint !== null) {
    return found('problem', code, {
      what: `the backups can't be listed: ${folder.complaint.message}`,
      why: 'No backup can be made, and none be restored from here.',
      fix: folder.complaint.hint,
    });
  }
  if (folder.mode === null && folder.isWritable) return null;
  if (folder.mode === null || !folder.isWritable) {
    return found('problem', code, {
      what: `the user of this process may not ${folder.mode === null ? 'make' : 'write to'} ${folder.path}`,
      why: 'No backup can be made.',
      fix: 'Give that user the folder: `chown`, then `chmod 700`.',
    });
  }
  if ((folder.mode & OTHERS_WRITE) !== 0) {
    return found('problem', code, {
      what: `every user of this machine may write in ${folder.path} (${octal(folder.mode)})`,
      why: 'Whoever does can put another database in the place of a backup and of its manifest, and a restore would take it.',
      fix: `${closeIt(folder.path, folder.isShared)}.`,
    });
  }
  if ((folder.mode & OTHERS) !== 0) {
    return found('warning', code, {
      what: `${folder.path} is open to other users of this machine (${octal(folder.mode)})`,
      why: 'A backup holds everything that the database holds.',
      fix: `${closeIt(folder.path, folder.isShared)}.`,
    });
  }
  if (folder.openFiles > 0) {
    return found('info', code, {
      what: `${folder.openFiles} files in ${folder.path} bear rights for other users`,
      why: 'The folder keeps others out; a copy that keeps those rights does not.',
      fix: `chmod 600 ${folder.path}/backup-*`,
    });
  }
  return ok(code, `${folder.path} is closed to other users`);
};

const stateIsPrivate: Check = ({ state }) => {
  const code = 'state-permissions';
  if (state.mode === null) return null;
  if ((state.mode & OTHERS) === 0) return ok(code, `${state.path} is closed to other users`);
  return found('info', code, {
    what: `${state.path} can be read by other users of this machine (${octal(state.mode)})`,
    why: 'It holds the run history: who did what, and when. It holds no backup.',
    fix: `chmod 600 ${state.path}`,
  });
};

const secretsArePrivate: Check = ({ openSecrets }) => {
  if (openSecrets.length === 0) return null;
  return found('warning', 'secret-files', {
    what: `every user of this machine may read ${openSecrets.join(', ')}`,
    why: 'A secret is in it.',
    fix: `Make it the file of the user who runs this process, then \`chmod 600 ${openSecrets.join(' ')}\`.`,
  });
};

const settingsAreRead: Check = ({ settingsComplaint }) => {
  const code = 'settings-file';
  if (settingsComplaint === null) return null;
  return found('problem', code, {
    what: `the settings that were changed on the page can't be read: ${settingsComplaint}`,
    why: 'Those of the environment hold. No backup is removed meanwhile, because more may have been asked for.',
    fix: 'Correct settings.json in the folder of the backups, or save the settings anew on the page.',
  });
};

const nothingIsSetAside: Check = ({ setAside }) => {
  if (setAside.length === 0) return null;
  return found('info', 'set-aside', {
    what: `files of ours that could not be used were set aside: ${setAside.join(', ')}`,
    why: 'Nothing needs them: they were damaged, or closed to the user of this process.',
    fix: 'Look into them if you like, and remove them.',
  });
};

const nothingIsServed: Check = ({ folder, state, servedAs }) => {
  const code = 'served';
  if (servedAs === null) return ok(code, 'backups and state lie in no folder that is served');
  const { what, folder: served, isCertain } = servedAs;
  return found(isCertain ? 'problem' : 'warning', code, {
    what: `${what === 'backups' ? folder.path : state.path} lies in ${served}, which ${isCertain ? 'is' : 'by its name is'} served to the public`,
    why: 'Whoever guesses a name can fetch it.',
    fix: `Set ${what === 'backups' ? 'BACKUP_LOCAL_PATH' : 'BACKUP_STATE_PATH'} to a folder that no server knows.`,
  });
};

// ── time ──

/** Clocks that are set by the network are apart by less. */
const FUTURE_MS = 5 * 60_000;

const clockIsRight: Check = ({ now, newestAt }) => {
  const code = 'clock';
  if (newestAt === null || newestAt.getTime() - now.getTime() <= FUTURE_MS)
    return ok(code, 'no backup is of the future');
  return found('warning', code, {
    what: `the newest backup is of the future: ${newestAt.toISOString()}`,
    why: 'The clock went back, or was wrong when it was made. Its age says nothing then.',
    fix: 'See that the clock is set by the network (`timedatectl`). New backups put it right by themselves.',
  });
};

// ── settings ──

const isScheduled: Check = ({ settings }) => {
  const code = 'schedule';
  if (settings.enabled) return ok(code, 'backups are made by themselves');
  return found('warning', code, {
    what: 'auto-backup is off',
    why: 'A backup is made only when somebody thinks of it.',
    fix: 'Set BACKUP_ENABLED=true, or switch it on on the page.',
  });
};

const ageFitsInterval: Check = ({ settings: { maxAgeMinutes }, gapMinutes: { shortest, longest } }) => {
  const code = 'max-age';
  if (maxAgeMinutes === null || maxAgeMinutes > longest) return ok(code, 'the age limit fits the interval');
  return found('warning', code, {
    what: `a backup counts as too old after ${maxAgeMinutes} minutes, and up to ${longest} lie between two`,
    why: 'The state says `late` before each backup, and nobody believes it any more.',
    fix: `Set BACKUP_MAX_AGE_MINUTES to ${longest + 2 * shortest}, or leave it out.`,
  });
};

const DAY_MINUTES = 1_440;

/** At half of the days an idle database is backed up anew, by a planned run. */
const renewalFits: Check = (facts) => {
  const days = Math.min(...buckets(facts).flatMap(({ lifecycleDays }) => lifecycleDays ?? []));
  if (!Number.isFinite(days)) return null;
  const longest = facts.gapMinutes.longest;
  if (facts.settings.enabled && 2 * longest <= days * DAY_MINUTES)
    return ok(
      'lifecycle',
      `a database that does not change is stored anew before the bucket removes it after ${days} days`,
    );
  return found('problem', 'lifecycle', {
    what: facts.settings.enabled
      ? `the bucket removes a copy after ${days} days, and up to ${longest} minutes lie between two backups`
      : `the bucket removes a copy after ${days} days, and auto-backup is off`,
    why: 'The copy of a database that does not change may be removed before another one is stored.',
    fix: 'Plan backups more often, or give the rule of the bucket more days (and BACKUP_S3_LIFECYCLE_DAYS).',
  });
};

const historyIsLong: Check = ({ folder, settings, gapMinutes: { shortest: intervalMinutes } }) => {
  const code = 'history';
  const { retentionCount, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly } = settings;
  const isSaid = keepDaily + keepWeekly + keepMonthly + keepYearly > 0 || keepHourly >= 24;
  const keepsPeriods = folder.fitting === null ? isSaid : folder.fitting > 0;
  const minutes = retentionCount * intervalMinutes;
  if (keepsPeriods || minutes >= DAY_MINUTES) return ok(code, 'backups go back a day or more');
  const reach = `${retentionCount} backups, one every ${intervalMinutes} minutes, go back ${minutes} minutes while the database changes`;
  const why = 'A mistake that is seen tomorrow is in all of them.';
  if (folder.fitting === 0) {
    return found('info', code, {
      what: `${reach}: all copies together may take a fifth of the disk by default, and there is no room for more`,
      why,
      fix: 'Set BACKUP_LOCAL_PATH to a larger disk, or BACKUP_KEEP_DAILY=7, which holds whatever room it takes.',
    });
  }
  return found('info', code, {
    what: reach,
    why,
    fix: 'Set BACKUP_KEEP_HOURLY=24 and BACKUP_KEEP_DAILY=7, or a higher BACKUP_RETENTION_COUNT.',
  });
};

const keepFitsInterval: Check = ({ folder, settings, gapMinutes: { shortest: intervalMinutes } }) => {
  // The default fits every rhythm: nobody asked for hours.
  if (folder.fitting !== null) return null;
  const periods = [
    ['BACKUP_KEEP_HOURLY', settings.keepHourly, 60],
    ['BACKUP_KEEP_DAILY', settings.keepDaily, DAY_MINUTES],
  ] as const;
  const inert = periods.find(([, count, minutes]) => count > 0 && intervalMinutes > minutes);
  if (!inert) return null;
  const [name, count, minutes] = inert;
  return found('info', 'keep', {
    what: `${name}=${count}, and a backup is made only every ${intervalMinutes} minutes`,
    why: `Most periods of ${minutes} minutes have no backup; it keeps ${count} that have one, which go back further than the number says.`,
    fix: `Leave ${name} out, or make backups more often.`,
  });
};

const sealingWorks: Check = (facts) => {
  const code = 'encryption';
  const { settings, s3 } = facts;
  if (s3.isEncrypted && !settings.s3Enabled) {
    return found('warning', code, {
      what: 'public keys are set, and S3 is off',
      why: 'They encrypt the copies on S3 alone; what lies on this disk is not encrypted.',
      fix: 'Switch S3 on, or remove BACKUP_ENCRYPTION_RECIPIENT.',
    });
  }
  const on = buckets(facts);
  const open = on.filter(({ isEncrypted }) => !isEncrypted);
  if (open.length > 0) {
    const isS3 = settings.s3Enabled && !s3.isEncrypted;
    return found('info', code, {
      what: `copies on ${wordsOf(open)} are not encrypted`,
      why: 'Whoever may read the bucket reads the database.',
      fix: `${isS3 ? 'Set BACKUP_ENCRYPTION_RECIPIENT to' : 'Give the target'} a public key of age, and keep the private key in two places.`,
    });
  }
  return on.length > 0 ? ok(code, `copies on ${wordsOf(on)} are encrypted`) : null;
};

/** The server itself speaks plain http: outside of this machine a proxy with https belongs before it. */
const doorIsNarrow: Check = ({ door }) => {
  const code = 'open-address';
  if (door === null || (door.passwordLength === null && !door.hasToken)) return null;
  if (isLoopback(door.host)) return ok(code, `the server listens on ${door.host} alone`);
  return found('info', code, {
    what: `the server listens on ${door.host}, so other machines reach it, over plain http`,
    why: 'Who listens on the network reads the password, the token and every backup that is downloaded.',
    fix: 'Put a proxy with https before it, or set HOST=127.0.0.1 and use an SSH tunnel. In a container, publish the port to 127.0.0.1 alone.',
  });
};

const passwordIsLong: Check = ({ door }) => {
  const code = 'password';
  const length = door?.passwordLength ?? null;
  if (length === null) return null;
  if (length < PASSWORD_LEAST) {
    return found('problem', code, {
      what: `BACKUP_ADMIN_PASSWORD has ${length} characters`,
      why: `With fewer than ${PASSWORD_LEAST} it opens nothing: nobody can sign in.`,
      fix: `Set one of ${PASSWORD_GOOD} characters or more, and start again.`,
    });
  }
  if (length >= PASSWORD_GOOD) return ok(code, 'the password is long enough');
  return found('info', code, {
    what: `BACKUP_ADMIN_PASSWORD has ${length} characters`,
    why: `It is all that a stranger must guess, and NIST asks for ${PASSWORD_GOOD} then (SP 800-63B).`,
    fix: 'Set a longer one, such as a sentence, and start again.',
  });
};

/** The key signs each request and is never sent; what is read and written is. */
const bucketsAreAskedSafely: Check = (facts) => {
  const code = 'plain-http';
  const plain = buckets(facts).filter(({ plainHost }) => plainHost !== null);
  const [first] = plain.filter(({ isEncrypted }) => !isEncrypted).concat(plain);
  if (!first) return null;
  return found(first.isEncrypted ? 'info' : 'warning', code, {
    what: `${first.word} is asked over plain http (${first.plainHost})`,
    why: first.isEncrypted
      ? 'The copies are encrypted; their names and sizes, and what is asked for, can be read on the way, and changed.'
      : 'Who listens on the network reads every backup that goes there, and can change what comes back.',
    fix: 'Use an endpoint with https, or encrypt the copies (BACKUP_ENCRYPTION_RECIPIENT).',
  });
};

const bucketIsOwn: Check = (facts) => {
  if (!buckets(facts).some(({ isAlsoPublic }) => isAlsoPublic)) return null;
  return found('warning', 'bucket', {
    what: "backups lie in the bucket of the app's own files, which a CDN serves",
    why: 'One wrong rule of the bucket or of the CDN makes them public.',
    fix: 'Use a bucket and a key of their own for backups.',
  });
};

const copiesCanBeRead: Check = ({ archived: [first] }) => {
  if (first === undefined) return null;
  return found('warning', 'archive', {
    what: `the newest good copy on ${first.word} lies in an archive class (${first.storageClass})`,
    why: `A restore from there takes ${first.takes} before it begins.`,
    fix: 'Let the rule of the bucket leave the newest backups in a class that can be read at once, such as GLACIER_IR.',
  });
};

const drillsProve: Check = ({ drills }) => {
  const code = 'drills';
  if (drills.complaint !== null) {
    return found('problem', code, {
      what: drills.complaint.message,
      why: 'Each drill fails before it begins.',
      fix: drills.complaint.hint,
    });
  }
  // Where nobody could list the backups.
  if (drills.targets.length === 0) return null;
  const failed = drills.targets.find(({ drill }) => drill?.result === 'failed');
  if (failed) {
    return found('problem', code, {
      what: `the last drill of ${failed.target} failed`,
      why: 'What can not be restored today can not be restored on the day it is needed.',
      fix: `Run it again and read its reason: velist-backup drill --from ${failed.target}`,
    });
  }
  const unproven = drills.targets.filter(({ proven }) => proven === null).map(({ target }) => target);
  if (unproven.length === 0) return ok(code, 'a restore from each place was proven');
  const sealed = drills.targets.find(({ proven, drill }) => proven === null && drill?.result === 'sealed');
  return found('info', code, {
    what: `a restore from ${unproven.join(' and ')} was never proven`,
    why: 'A backup is worth what its restore is worth.',
    fix: `velist-backup drill${sealed ? ` --from ${sealed.target} --identity key.txt, where the private key is` : ''}`,
  });
};

const checkHasNoRemarks: Check = ({ remarks }) => {
  if (remarks.length === 0) return null;
  return found('info', 'check', {
    what: `the newest backup is good, and its check has remarks: ${remarks.join('; ')}`,
    why: 'Rows that break a rule are the app’s own, and come back as they were. What this SQLite could not check was accounted for page by page.',
    fix: 'Nothing has to be done for the backups.',
  });
};

const scheduleAdvances: Check = ({ stalledSince }) => {
  if (stalledSince === null) return null;
  return found('problem', 'stalled', {
    what: `the schedule has been stuck since ${stalledSince.toISOString()}`,
    why: 'A planned backup waits for its turn, or the one that runs says nothing any more. No backup follows meanwhile.',
    fix: 'Stop what is running (on the page, or POST /backup/api/runs/stop), or start the app again.',
  });
};

const commitsAreCaptured: Check = ({ continuous = null }) => continuous && capturedFinding(continuous, found);
const nothingWasLost: Check = ({ loss }) => {
  if (loss === null) return null;
  return found('problem', 'loss', {
    what: `much was lost: ${lossText(loss)}`,
    why: `${loss.before} is the last backup before it. It is kept for ${LOSS_DAYS} days, or until somebody says that it was meant.`,
    fix: `Compare: velist-backup diff ${loss.before} ${loss.filename}. If it was meant: velist-backup accept-loss ${loss.filename}`,
  });
};

/** Says who else writes to one target, and what is kept there because of that. */
function ofWriter({ target, writer, sparesOthersUntil }: DoctorFacts['places'][number]): readonly Finding[] {
  const code = 'writers';
  const word = targetWord(target);
  const findings: Finding[] = [];
  if (writer?.kind === 'other') {
    const seen = writer.seenAt === null ? '' : `, seen last at ${writer.seenAt.toISOString()}`;
    findings.push(
      found('problem', code, {
        what: `${writer.host} writes to ${word} since ${writer.since.toISOString()}${seen}`,
        why: "While it does, nothing from here is stored or removed there: two writers of one place remove each other's backups.",
        fix: 'Give this machine a prefix of its own (BACKUP_S3_PATH), or stop the other one; then this one goes on by itself.',
      }),
    );
  }
  if (writer?.kind === 'clone') {
    findings.push(
      found('problem', code, {
        what: `two machines with the id of this one want to write to ${word} (${writer.host})`,
        why: 'One is a copy of the other. Only one of them writes there, and nobody but you knows which it should be.',
        fix: 'On the copy, stop velist-backup, move velist-backup.installation.json away and set a prefix of its own (BACKUP_S3_PATH).',
      }),
    );
  }
  if (sparesOthersUntil !== null) {
    findings.push(
      found('info', code, {
        what: `backups on ${word} that others made stay until ${sparesOthersUntil.toISOString()}`,
        why: 'This installation took the place over and does not know whose they are; retention removes only what it made itself.',
        fix: `If this machine replaces the one that made them, \`velist-backup claim --target ${target}\` ends that. Keep BACKUP_STATE_PATH on a volume: without it each new container is a new installation.`,
      }),
    );
  }
  return findings;
}

const checks: readonly Check[] = [
  ...[
    databaseOpens,
    scheduleAdvances,
    commitsAreCaptured,
    nothingWasLost,
    checkHasNoRemarks,
    libraryIsSafe,
    libraryMissesNoLocks,
    journalIsWal,
    logShrinks,
    isAlone,
  ],
  ...[databaseIsLocal, folderIsDurable, isElsewhere, hasRoom, placesAreOurs],
  ...[
    folderIsPrivate,
    stateIsPrivate,
    secretsArePrivate,
    settingsAreRead,
    nothingIsSetAside,
    nothingIsServed,
    clockIsRight,
  ],
  ...[
    isScheduled,
    ageFitsInterval,
    historyIsLong,
    keepFitsInterval,
    sealingWorks,
    bucketIsOwn,
    renewalFits,
    bucketsAreAskedSafely,
    doorIsNarrow,
    passwordIsLong,
    copiesCanBeRead,
    drillsProve,
  ],
];

// ── S3 ──

const whyOfCheck: Partial<Record<TargetReport['findings'][number]['check'], string>> = {
  private: 'Backups hold everything that the database holds.',
  delete: 'Retention must be able to remove there, or, where that is left to the bucket, a stolen key must not.',
  overwrite: 'Whoever steals this key could spoil all backups there.',
  lifecycle: 'What an idle database needs is stored anew at half of these days.',
  clock: 'S3 refuses requests of a clock that is too wrong.',
};

function ofTarget(report: TargetReport | null): readonly Finding[] {
  if (report === null) return [];
  return report.findings.map(({ check, result, message, hint }) => {
    const [code, what] = [`${report.target}-${check}`, `on ${targetWord(report.target)}: ${message}`];
    if (result === 'ok') return ok(code, what);
    const why = whyOfCheck[check] ?? 'Uploads, restores or retention rely on it.';
    const fix = hint ?? `See velist-backup test-target ${report.target}.`;
    return found(result === 'failed' ? 'problem' : 'warning', code, { what, why, fix });
  });
}
