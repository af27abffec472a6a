/**
 * Looks at a target. Each listing corrects what we believed: a copy that is gone there is uploaded again, one that is there
 * already is not, and a pin that was set here is set there.
 */
import type { RemoteListing } from '../../engine/catalog/store-catalog.ts';
import { BackupError } from '../../words/errors.ts';
import type { Began } from './known-place.ts';
import { type Compared, noticeSetBack, reconcile } from './reconcile.ts';
import { saidHereAlone, sayThere } from './said.ts';
import type { TargetContext } from './target-context.ts';

interface Look {
  readonly began: Began;
  readonly ended: Promise<void>;
}

export class Listings {
  readonly #context: TargetContext;
  readonly #onListed: (news: { readonly wasSilent: boolean }) => void;
  #look: Look | null = null;
  #triedMs = Number.NEGATIVE_INFINITY;

  /** @param onListed the target answered; `wasSilent` if it could not be listed before. */
  constructor(context: TargetContext, onListed: (news: { readonly wasSilent: boolean }) => void) {
    this.#context = context;
    this.#onListed = onListed;
  }

  /** When a look was begun last. */
  get triedMs(): number {
    return this.#triedMs;
  }

  /**
   * Lists what the target holds now; who asks at the same time shares one job. A look at another place than the present one
   * answers nobody: it is made again.
   *
   * @throws BackupError S3_*
   */
  async refresh(): Promise<void> {
    for (;;) {
      this.#look ??= this.#begin();
      const look = this.#look;
      try {
        await look.ended;
      } catch (error) {
        if (this.#context.known.isStill(look.began)) throw error;
      }
      if (this.#context.known.isStill(look.began)) return;
    }
  }

  /** Resolves, or rejects, with the look that is under way. */
  async idle(): Promise<void> {
    await this.#look?.ended;
  }

  #begin(): Look {
    const began = this.#context.known.begin();
    this.#triedMs = began.at.getTime();
    const ended = this.#list(began).finally(() => {
      this.#look = null;
    });
    return { began, ended };
  }

  async #list(began: Began): Promise<void> {
    const { known, writing, access, parts } = this.#context;
    const wasSilent = known.listError !== null;
    try {
      const { self } = writing.request();
      const request = { kind: 'list-remote' as const, ...access, known: known.toKnow(), self };
      const listing = await this.#context.job<'list-remote'>({ ...request, identity: known.identity });
      await this.take(listing, began);
      if (known.isStill(began)) this.#onListed({ wasSilent });
    } catch (error) {
      throw known.failed(error, began);
    } finally {
      parts.onChange();
    }
  }

  /** A new listing: what changed is kept, and what we believed is set right. */
  async take(listing: RemoteListing, began: Began): Promise<void> {
    const { known, service, writing, word, lifecycleDays } = this.#context;
    const taken = known.take(listing, began);
    if (taken === null) return;
    const { before, after } = taken;
    if (listing.unnamed.length > 0 && before.size === 0) this.#reportUnnamed(listing.unnamed);
    if (this.#context.ownership.owner === 'foreign') return;
    try {
      const compared = await this.#compared();
      if (!known.isStill(began)) return;
      noticeSetBack(
        [...after.values()].filter(({ name }) => !before.has(name)),
        compared,
      );
      reconcile(taken, began.at, compared);
      // Nothing is changed unasked while another machine writes there.
      if (!service.isStarted || writing.isStopped || lifecycleDays !== null) return;
      for (const { name, manifest } of saidHereAlone(compared.here, after)) {
        await sayThere(this.#context, name, manifest, writing.request());
        if (!known.isStill(began)) return;
      }
    } catch (error) {
      const { code, message } = BackupError.from(error);
      if (code !== 'ABORTED') service.log('warn', `${word} was not compared with the folder: ${message}.`);
    }
  }

  async #compared(): Promise<Compared> {
    const here = await this.#context.ownHere();
    const names = new Set((await this.#context.service.catalog.list()).map(({ name }) => name));
    const { service, state, known, word, ownership, lifecycleDays } = this.#context;
    const { places, log, now, state: own } = service;
    return {
      ...{ word, state, here, names, log, ownership, lifecycleDays, self: places.self, now: now() },
      madeSince: (from) => own.history.madeSince(from),
      onExpired: (name) => known.noteRemoved(name, BY_BUCKET),
    };
  }

  #reportUnnamed(unnamed: readonly string[]): void {
    const { service, word } = this.#context;
    service.log(
      'warn',
      `${unnamed.length} files on ${word} have the name of a backup but no manifest (${unnamed[0]}); they stay as they are.`,
    );
  }
}

const BY_BUCKET = 'by a rule of the bucket';
