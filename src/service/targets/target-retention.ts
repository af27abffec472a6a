/** Retention at a target: what it keeps there, and what became of the copies that it removed. */
import { NO_IDENTITY, requireOurs } from '../../engine/catalog/identity.ts';
import { pinsOf, planRemoteRetention, type RemoteCandidate } from '../../engine/catalog/prune-store.ts';
import type { RetentionPlan, RetentionPolicy } from '../../engine/catalog/retention.ts';
import type { Uploaded } from '../../engine/stories/upload-request.ts';
import { THE_SERVICE_ITSELF } from '../audit/actor.ts';
import { BY_RETENTION } from '../state/run-history.ts';
import type { Listings } from './listings.ts';
import type { TargetContext } from './target-context.ts';

export class TargetRetention {
  readonly #context: TargetContext;
  readonly #listings: Listings;

  constructor(context: TargetContext, listings: Listings) {
    this.#context = context;
    this.#listings = listings;
  }

  /** What to keep there; null while nothing may be removed. */
  policy(): RetentionPolicy | null {
    const { parts, known, lifecycleDays, choice } = this.#context;
    if (known.setBack || lifecycleDays !== null || parts.retention.hold() !== null) return null;
    return parts.retention.ofTarget(choice.access);
  }

  /** @throws BackupError FOREIGN_PLACE, BAD_CONFIG: nothing may be written or removed there, by the last look. */
  requireOurs(): void {
    const { address, target, words, ownership, known } = this.#context;
    requireOurs(ownership, known.identity ?? NO_IDENTITY, { place: address, target, own: words.own });
  }

  /** What retention would do with what is there now. */
  async plan(): Promise<RetentionPlan<RemoteCandidate>> {
    await this.#listings.refresh();
    const { service, parts, choice, known, writing, ownership, lifecycleDays, removal } = this.#context;
    const held = parts.retention.hold() ?? (known.setBack && HELD_SET_BACK);
    return planRemoteRetention(known.backups, parts.retention.ofTarget(choice.access), {
      now: service.now(),
      hold: lifecycleDays === null ? held : removal,
      pins: await pinsOf(service.catalog),
      sparesAllBut: writing.sparesAllBut,
      ownership,
    });
  }

  /** Carries retention out there; answers the names that were removed. Nothing while it is held back. */
  async prune(): Promise<readonly string[]> {
    const { service, target, access, writing, known } = this.#context;
    const retention = this.policy();
    if (retention === null) return [];
    const began = known.begin();
    const done = await this.#context.job<'prune-remote'>({
      ...{ kind: 'prune-remote', target, folder: service.catalog.folder, retention, ...access },
      ...{ ...writing.request(), self: service.places.self, known: known.toKnow(), identity: known.identity },
    });
    if (!known.isStill(began)) return done.removed;
    this.noteDone(done);
    await this.#listings.take(done.listing, began);
    return done.removed;
  }

  /** Notes what a job removed there. */
  noteDone({ removed, survived }: Pick<Uploaded, 'removed' | 'survived'>): void {
    const { service, parts, known, word, target } = this.#context;
    const { log, audit } = service;
    for (const name of removed) {
      log('info', `Removed from ${word} by retention: ${name}`);
      known.removed(name, BY_RETENTION);
      parts.onGone(name, `${BY_RETENTION} on ${word}`);
      audit.add({ act: 'retention', subject: name, target }, THE_SERVICE_ITSELF);
    }
    for (const { name, reason } of survived) log('warn', `Not removed from ${word} by retention: ${name}: ${reason}.`);
  }
}

const HELD_SET_BACK = 'held: this machine was set back to an older image, or there is a clone of it';
