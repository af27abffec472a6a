/** Every stream that this database may come back from: the one here, then those at its targets. */
import type { TargetName } from '../../words/target-word.ts';
import type { ServiceContext } from '../context.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';
import type { Continuous } from './continuous.ts';
import type { MomentSource } from './moment-source.ts';
import { TargetStream } from './target-stream.ts';

export class Streams {
  readonly #context: ServiceContext;
  readonly #here: Continuous;
  readonly #targets: RemoteTargets;

  constructor(context: ServiceContext, { continuous, targets }: { continuous: Continuous; targets: RemoteTargets }) {
    this.#context = context;
    this.#here = continuous;
    this.#targets = targets;
  }

  get here(): Continuous {
    return this.#here;
  }

  get isCapturedNow(): boolean {
    return this.#here.isCapturedNow;
  }

  /** Those at targets that are on. */
  get there(): readonly TargetStream[] {
    return this.#targets.enabled.map((remote) => new TargetStream(this.#context, remote));
  }

  /** At all targets, on or off. */
  get everywhere(): readonly TargetStream[] {
    return this.#targets.all.map((remote) => new TargetStream(this.#context, remote));
  }

  /** @throws BackupError for a target that is not configured. */
  at(target: TargetName): MomentSource {
    return target === 'local' ? this.#here : this.atTarget(target);
  }

  atTarget(target: TargetName): TargetStream {
    return new TargetStream(this.#context, this.#targets.require(target));
  }

  /** Where a moment is taken from of which only the bookmark is known. */
  async holding(bookmark: string, from?: TargetName): Promise<MomentSource> {
    if (from !== undefined) return this.at(from);
    if (this.#here.hasStream) return this.#here;
    for (const stream of this.there) if ((await stream.moments({ bookmark })).found !== null) return stream;
    return this.#here;
  }
}
