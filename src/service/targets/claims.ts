/**
 * "It is the same database": a place that belongs to another database becomes ours, by a claim beside its record. What the
 * record says stays, so that each owner of before is known.
 *
 * A claim may be a mistake. So for a week nothing is removed there that was made before it, and backups that bear the name
 * of a third database stay as that one's.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { LOCK_FILE } from '../../engine/format/names.ts';
import {
  type Claim,
  otherOf,
  OWN_FOLDER,
  type Ownership,
  type PlaceIdentity,
  requireOurs,
  requireReadable,
  type Sourced,
} from '../../engine/catalog/identity.ts';
import { lookAtFolder, type OwnedFolder, toRecord, writeOwner, writeRecord } from '../../engine/catalog/own-folder.ts';
import { takeLock } from '../../engine/disk/lock.ts';
import type { DatabaseSelf } from '../../engine/writer/self.ts';
import type { TargetName } from '../../words/target-word.ts';
import { currentActor } from '../audit/actor.ts';
import type { ServiceContext } from '../context.ts';
import type { ClaimResult } from '../service-port.ts';
import type { RemoteTarget } from './remote-target.ts';

const SPARES_MS = 7 * 24 * 3_600_000;

export class Claims {
  readonly #context: ServiceContext;

  constructor(context: ServiceContext) {
    this.#context = context;
  }

  /** @throws BackupError FOREIGN_PLACE when the folder is another database's. */
  async requireOwnFolder(): Promise<OwnedFolder> {
    const { places, catalog } = this.#context;
    return this.requireOurs(places.folder(await catalog.list()));
  }

  requireOurs(folder: OwnedFolder): OwnedFolder {
    const place = `the folder ${this.#context.folder.named}`;
    requireOurs(folder.ownership, folder.identity, { place, target: 'local', own: OWN_FOLDER });
    return folder;
  }

  async claim(
    { target = 'local', user = null }: { readonly target?: TargetName; readonly user?: string | null },
    requireRemote: (target: TargetName) => RemoteTarget,
  ): Promise<ClaimResult> {
    const { audit, emit } = this.#context;
    const claim = async () =>
      target === 'local' ? await this.#claimFolder(user) : await this.#claimTarget(requireRemote(target), user);
    const result = await audit.carry({ act: 'claim', target }, claim, { actor: currentActor(user) });
    emit({ type: 'backups' });
    emit({ type: 'status' });
    return result;
  }

  /** @throws BackupError BAD_CONFIG when the folder's record can't be read, BUSY, NO_PERMISSION. */
  async #claimFolder(user: string | null): Promise<ClaimResult> {
    const { catalog, folder, places } = this.#context;
    await catalog.prepare();
    const self = await places.selfToWrite();
    using _lock = await this.#lockFolder();
    const backups = await catalog.list();
    const { ownership, identity } = lookAtFolder(catalog.folder, self, backups);
    const place = { target: 'local', place: `folder ${folder.named}` };
    requireReadable(identity, place);
    if (ownership.owner === 'new' || (ownership.owner === 'ours' && !ownership.mustRecord))
      return this.#unchanged(place, ownership, backups);
    const made = this.#claimOf(ownership, identity, self, { backups, user });
    if (identity.record === null) writeRecord(catalog.folder, made.record);
    writeOwner(catalog.folder, [...identity.claims, ...made.claims]);
    await places.note(made.record.id);
    const after = lookAtFolder(catalog.folder, self, backups).ownership;
    return this.#changed(place, { before: ownership, after, backups });
  }

  /** @throws BackupError BAD_CONFIG when its record can't be read, S3_*, ABORTED. */
  async #claimTarget(remote: RemoteTarget, user: string | null): Promise<ClaimResult> {
    const self = await this.#context.places.selfToWrite();
    await remote.refresh();
    const { ownership, backups, address } = remote;
    const identity = remote.known.identity ?? { record: null, claims: [], complaint: null };
    const place = { target: remote.target, place: address };
    requireReadable(identity, place);
    remote.known.answerSetBack();
    if (ownership.owner === 'new' || (ownership.owner === 'ours' && !ownership.mustRecord)) {
      // Whose it is does not change; who writes there may.
      await remote.changes.claim(null);
      return this.#unchanged(place, ownership, backups);
    }
    const claim = this.#claimOf(ownership, identity, self, { backups, user });
    const { identity: after } = await remote.changes.claim(claim);
    await this.takeId(after?.record?.id ?? claim.record.id, user);
    await remote.refresh();
    return this.#changed(place, { before: ownership, after: remote.ownership, backups: remote.backups });
  }

  /** The id of a target becomes ours; the folder remembers the one of before. */
  async takeId(id: string, user: string | null): Promise<void> {
    const { catalog, places, now } = this.#context;
    await places.note(id);
    using _lock = await this.#lockFolder();
    const { self } = places;
    const { ownership, identity } = lookAtFolder(catalog.folder, self, []);
    if (identity.record === null || ownership.owner !== 'ours' || ownership.id === id) return;
    writeOwner(catalog.folder, [...identity.claims, { ...ownClaim(self, id, now()), user, sparesUntil: null }]);
  }

  #claimOf(
    ownership: Ownership,
    identity: PlaceIdentity,
    self: DatabaseSelf,
    { backups, user }: { readonly backups: readonly Sourced[]; readonly user: string | null },
  ) {
    const now = this.#context.now();
    const names = new Set(backups.flatMap(({ manifest }) => manifest?.source.name ?? []));
    const given = new Set(backups.map(({ manifest }) => manifest?.databaseId));
    // The id is taken over of a database that lost its record, or that an older version backed up.
    const known = names.size === 1 && given.size === 1 ? ownership.stranger?.id : undefined;
    const id = identity.record?.id ?? known ?? ownership.id ?? randomUUID();
    const own = ownClaim(self, id, now);
    const claims: Claim[] = [];
    // Renamed under an older version: the name of before is known by the manifests alone, and of several by none.
    if (identity.record === null && ownership.stranger && names.size === 1)
      claims.push({ ...own, name: ownership.stranger.name, path: null, machine: null });
    // What was made under our id of before is ours here too.
    if (self.databaseId !== null && self.databaseId !== id) claims.push({ ...own, id: self.databaseId });
    const sparesUntil = new Date(now.getTime() + SPARES_MS).toISOString();
    claims.push({ ...own, user, sparesUntil });
    return { claims, record: toRecord(id, { ...self, isProvisional: false }, now) };
  }

  #unchanged(place: Pick<ClaimResult, 'target' | 'place'>, ownership: Ownership, backups: readonly Sourced[]) {
    return { ...place, ...countOf(ownership, backups), changed: false, before: null, databaseId: ownership.id };
  }

  #changed(
    place: Pick<ClaimResult, 'target' | 'place'>,
    { before, after, backups }: { before: Ownership; after: Ownership; backups: readonly Sourced[] },
  ): ClaimResult {
    const result = { ...place, ...countOf(after, backups), changed: true, before: before.stranger };
    const whose = before.stranger ? `, which was of ${before.stranger.name},` : '';
    this.#context.log(
      'info',
      `Claimed: ${place.place}${whose} belongs to this database now. ${result.ours} backups are its.`,
    );
    return { ...result, databaseId: after.id };
  }

  async #lockFolder(): Promise<Disposable> {
    const { catalog, waits, log } = this.#context;
    const signal = new AbortController().signal;
    const warn = (message: string) => log('warn', message);
    return await takeLock(join(catalog.folder, LOCK_FILE), { waitMs: waits.lockMs, signal, warn });
  }
}

function ownClaim(self: DatabaseSelf, id: string, now: Date): Claim {
  const { name, pathDigest: path, machineDigest: machine, maker } = self;
  return { id, name, path, machine, at: now.toISOString(), user: null, madeBy: maker, sparesUntil: null };
}

function countOf(
  ownership: Ownership,
  backups: readonly Sourced[],
): Pick<ClaimResult, 'ours' | 'others' | 'sparesUntil'> {
  const known = backups.filter(({ manifest }) => manifest !== null);
  const others = known.filter((backup) => otherOf(ownership, backup) !== null).length;
  return { ours: known.length - others, others, sparesUntil: ownership.spares?.until ?? null };
}
