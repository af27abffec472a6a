/** What is wrong with where the database and its backups lie. */
import { targetWord } from '../../words/target-word.ts';
import { formatSize } from '../log.ts';
import { buckets, type DoctorFacts, ownPlaceAt, wordsOf } from './facts.ts';
import { type Check, type Finding, found, MIB, ok } from './finding.ts';

/** By the names of mounts; `live-database.ts` knows those that `statfs` tells by number, and that is fewer. */
const networkKinds =
  /^(nfs\d*|cifs|smb\w*|9p|afs|ceph|glusterfs|lustre|gfs2|ocfs2|beegfs|virtiofs|vboxsf|fakeowner|fuse\.(sshfs|s3fs|rclone|glusterfs|gcsfuse|grpcfuse|juicefs|ceph))$/;

export const databaseIsLocal: Check = ({ database: { fileSystem, path } }) => {
  const code = 'database-disk';
  if (fileSystem === null) return null;
  if (!networkKinds.test(fileSystem)) return ok(code, `${path} is on ${fileSystem}`);
  return found('problem', code, {
    what: `the database is on a network file system (${fileSystem})`,
    why: "SQLite's locks may not hold there, and WAL mode does not work over it: the database can be corrupted.",
    fix: 'Move it to a disk of this machine.',
  });
};

export function ofDoubt({ what, why, fix }: DoctorFacts['database']['doubts'][number]): readonly Finding[] {
  return [found('warning', 'sharing', { what, why, fix })];
}

export const folderIsDurable: Check = (facts) => {
  const { fileSystem, path } = facts.folder;
  const code = 'folder-disk';
  if (fileSystem === null) return null;
  if (fileSystem === 'tmpfs' || fileSystem === 'ramfs') {
    return found('problem', code, {
      what: `the backups are in memory (${fileSystem})`,
      why: 'A restart of the machine deletes them all.',
      fix: 'Set BACKUP_LOCAL_PATH to a folder on a disk.',
    });
  }
  if (fileSystem === 'overlay') {
    return found(buckets(facts).length > 0 ? 'info' : 'warning', code, {
      what: "the backups are in the container's own layer (overlay)",
      why: 'They are lost when the container is created again, as at each deployment.',
      fix: 'Mount a volume and set BACKUP_LOCAL_PATH to it.',
    });
  }
  if (networkKinds.test(fileSystem)) {
    return found('info', code, {
      what: `the backups are on a network file system (${fileSystem})`,
      why: 'The lock that keeps two runs apart may not be seen by other machines there.',
      fix: 'Let only one machine write to this folder.',
    });
  }
  return ok(code, `${path} is on ${fileSystem}`);
};

export const isElsewhere: Check = (facts) => {
  const { database, folder } = facts;
  const code = 'same-disk';
  const near = buckets(facts).filter(({ isOnSameDisk }) => isOnSameDisk);
  if (near.length > 0) {
    return found('warning', code, {
      what: `the target ${wordsOf(near)} is on the disk of the database`,
      why: 'When that disk is lost, both are.',
      fix: 'Name a folder on another disk, and make sure that it is mounted.',
    });
  }
  if (database.device === null || folder.device === null) return null;
  if (database.device !== folder.device) return ok(code, 'database and backups are on two disks');
  const [bucket] = buckets(facts);
  if (bucket) return ok(code, `database and backups are on one disk, and copies are on ${bucket.word}`);
  return found('warning', code, {
    what: 'database and backups are on one disk, and there is no other copy',
    why: 'When that disk or machine is lost, both are.',
    fix: 'Switch S3 on (BACKUP_S3_ENABLED), name a folder on another disk (BACKUP_FOLDER_PATH), or set BACKUP_LOCAL_PATH to one.',
  });
};

export const hasRoom: Check = ({ database, folder, settings }) => {
  const code = 'free-disk';
  const { freeBytes } = folder;
  const eachBytes = database.sizeBytes + database.walBytes;
  const free = `${formatSize(freeBytes)} free for backups of ${formatSize(eachBytes)}`;
  if (freeBytes < eachBytes + 16 * MIB) {
    return found('problem', code, {
      what: free,
      why: 'There is no room for the next backup.',
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
      what: `${free}, and ${missing} more are to be kept`,
      why: 'The disk will be full before retention begins to remove backups.',
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

export const placesAreOurs: Check = (facts) => {
  const { places = [], folder } = facts;
  const code = 'identity';
  const known = places.filter(({ owner }) => owner !== 'unknown' && owner !== 'new');
  const foreign = known.find(({ owner }) => owner === 'foreign');
  const nameOf = (target: string) => (target === 'local' ? folder.path : targetWord(target));
  if (foreign) {
    const isLocal = foreign.target === 'local';
    return found('problem', code, {
      what: `${nameOf(foreign.target)} holds the backups of another database, ${foreign.other?.name}`,
      why: 'Nothing of this database is written there, and nothing is removed.',
      fix: `Give this one ${ownPlaceAt(facts, foreign.target)}. If it is the same database, moved or renamed: velist-backup claim${isLocal ? '' : ` --target ${foreign.target}`}`,
    });
  }
  const mixed = known.find(({ owner }) => owner === 'mixed');
  if (mixed) {
    return found('info', code, {
      what: `${nameOf(mixed.target)} holds backups of several databases, from an early version`,
      why: 'Their manifests tell them apart; backups that cannot be told apart are not removed.',
      fix: 'Give each database a folder of its own, and at a target a place of its own; the backups here can be restored as before.',
    });
  }
  return known.length > 0 ? ok(code, 'the places of the backups belong to this database') : null;
};
