/** Compares a new listing of a target with what we believed and with the folder, and sets right what differs. */
import { isAside } from '../../engine/format/manifest.ts';
import { type Backup, inOrder } from '../../engine/catalog/folder-catalog.ts';
import { otherOf, type Ownership } from '../../engine/catalog/identity.ts';
import { lossHolds } from '../../engine/catalog/loss.ts';
import { isVerified } from '../../engine/catalog/retention.ts';
import { sealName } from '../../engine/format/seal.ts';
import { mayHaveExpired } from '../../engine/store/lifecycle.ts';
import type { DatabaseSelf } from '../../engine/writer/self.ts';
import type { Log } from '../log.ts';
import type { KnownRemote, TargetState } from '../state/target-state.ts';
import { isStoredAs, isUnread, type Taken, withCheck } from './known-place.ts';

export interface Compared {
  /** How messages call the target. */
  readonly word: string;
  readonly state: TargetState;
  readonly ownership: Ownership;
  readonly self: DatabaseSelf;
  /** The backups of our database in the folder, newest first. */
  readonly here: readonly Backup[];
  /** All that the folder holds. */
  readonly names: ReadonlySet<string>;
  readonly lifecycleDays: number | null;
  readonly now: Date;
  readonly log: Log;
  readonly madeSince: (from: Date) => ReadonlySet<string> | null;
  /** It is gone there, by a rule of the bucket. */
  readonly onExpired: (name: string) => void;
}

/**
 * A machine that was set back to an older image forgot what it made since; at the target it is still there. So is what a
 * clone of this machine makes.
 */
export function noticeSetBack(appeared: readonly KnownRemote[], compared: Compared): void {
  const { self, names, now, log, madeSince, state, ownership, word } = compared;
  const { maker } = self;
  const made = appeared.map(withCheck).filter((backup) => {
    const { madeBy, trigger, sequence } = backup.manifest ?? {};
    const isNumbered = sequence !== null && trigger !== 'safety';
    return maker && madeBy?.installation === maker.installation && isNumbered && otherOf(ownership, backup) === null;
  });
  if (made.length === 0) return;
  const uploads = state.uploads();
  const forgotten = made.filter(({ name, createdAt }) => {
    if (names.has(name) || uploads.has(name)) return false;
    const remembered = madeSince(createdAt);
    return remembered !== null && !remembered.has(name);
  });
  const [newest] = inOrder(forgotten);
  if (!newest) return;
  state.setBack = { backup: newest.name, at: now };
  log(
    'warn',
    `${word} holds ${forgotten.length} backups that this machine made and does not remember, the newest ${newest.name}. It was set back to an older image, or there is a clone of it. For a week nothing is removed on ${word}.`,
  );
}

/** Sets right what we believe of the uploads. @param beganAt when the look began. */
export function reconcile({ after: there, isOutdated }: Taken, beganAt: Date, compared: Compared): void {
  const { state, here, names, log, word, onExpired } = compared;
  const uploads = state.uploads();
  const mayEnd = expirable(compared);
  for (const backup of here) {
    const { name, manifest } = backup;
    if (!manifest || isOutdated(name)) continue;
    const entry = there.get(name);
    const upload = uploads.get(name);
    const isStored = isStoredAs(backup, entry);
    if (isStored && upload?.status !== 'stored') {
      const sealing = entry?.manifest ? sealName(entry.manifest.artifact) : null;
      state.setUpload({ backup: name, status: 'stored', at: beganAt, sealing });
    } else if (!isStored && !entry && upload?.status === 'stored' && mayEnd.has(name)) {
      onExpired(name);
    } else if (!isStored && !isUnread(entry) && upload?.status === 'stored' && upload.at < beganAt) {
      log('warn', `No longer on ${word}: ${name}. It will be uploaded again.`);
      state.forgetUpload(name);
    }
  }
  // An empty folder may be a disk that is not mounted: what was removed there must not be uploaded again with it.
  if (names.size > 0) for (const name of uploads.keys()) if (!names.has(name)) state.forgetUpload(name);
}

/**
 * What a rule of the bucket may remove for good. Not the newest, nor what a person or an open loss holds: those are
 * uploaded again.
 */
function expirable({ here, lifecycleDays, now }: Compared): ReadonlySet<string> {
  if (lifecycleDays === null) return new Set();
  const held = lossHolds(here, now);
  const newest = here.find((backup) => isVerified(backup) && !isAside(backup.manifest));
  const isNeeded = (backup: Backup) => backup === newest || backup.manifest?.pinned || held.has(backup);
  const old = here.filter(({ createdAt }) => mayHaveExpired(createdAt, lifecycleDays, now));
  return new Set(old.filter((backup) => !isNeeded(backup)).map(({ name }) => name));
}
