/**
 * The targets beside the folder, as the replicator is told of them: how each is reached, to whom its copies are sealed, and
 * who we are there. What it hears from them goes back to the target's own rooms, as with each job that writes there.
 */
import type { PlaceNews } from '../../engine/replication/ship-place.ts';
import type { Shipped, ShipTarget } from '../../engine/replication/shipper.ts';
import { BackupError } from '../../words/errors.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';
import type { ServiceContext } from '../context.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';

export class ShipTargets {
  readonly #context: ServiceContext;
  readonly #remotes: () => Pick<RemoteTargets, 'enabled' | 'all'>;

  constructor(context: ServiceContext, remotes: () => Pick<RemoteTargets, 'enabled' | 'all'>) {
    this.#context = context;
    this.#remotes = remotes;
  }

  /** Those that are on. @throws BackupError BAD_CONFIG for targets that can't be used. */
  get names(): readonly TargetName[] {
    return this.#remotes().enabled.map(({ target }) => target);
  }

  /** Never rejects: commits are captured also where targets can't be used, and the log says why. */
  async read(): Promise<readonly ShipTarget[]> {
    const { places, log } = this.#context;
    try {
      if (this.#remotes().enabled.length === 0) return [];
      // Before anything is said of this installation.
      await places.selfToWrite();
      return this.#remotes().enabled.map((remote) => remote.shipTarget());
    } catch (error) {
      const { message, hint } = BackupError.from(error);
      log('error', `Commits are not shipped: ${message}. ${hint}`);
      return [];
    }
  }

  hear(target: TargetName, news: PlaceNews): void {
    if (news.type === 'warning') {
      this.#context.warnOnce(news.message);
      return;
    }
    const remote = this.#remotes().all.find((one) => one.target === target);
    if (news.type === 'writer') remote?.writing.onEvent(news.news);
    else void remote?.seenBefore(news.identity);
  }
}

/** What a stop leaves for the next start, in whole sentences. */
export function unshippedTexts(targets: readonly Shipped[]): readonly string[] {
  return targets.flatMap(({ name, behindSince, waitingBytes, error }) => {
    if (behindSince === null) return [];
    const why = error === null ? '' : ` (${error.message})`;
    return `What was committed since ${behindSince}, ${waitingBytes} bytes, is not at ${targetWord(name)} yet${why}. It is shipped at the next start.`;
  });
}

/** Each failure is told once, and that it is over. */
export function shippingNews(
  targets: readonly Shipped[],
  before: readonly Shipped[],
): readonly { readonly level: 'info' | 'warn'; readonly text: string }[] {
  return targets.flatMap(({ name, error }) => {
    const last = before.find((target) => target.name === name)?.error ?? null;
    if (error?.message === last?.message) return [];
    if (error === null) return { level: 'info' as const, text: `Commits are shipped to ${targetWord(name)} again.` };
    return { level: 'warn' as const, text: `Commits wait for ${targetWord(name)}: ${error.message}. ${error.hint}` };
  });
}
