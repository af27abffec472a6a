/** What is noted of backups that are gone: when, and who removed them. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { THE_SERVICE_ITSELF } from '../audit/actor.ts';
import type { ServiceContext } from '../context.ts';
import { BY_RETENTION } from '../state/run-history.ts';
import type { RemoteTarget } from '../targets/remote-target.ts';

export class Removals {
  readonly #context: Pick<ServiceContext, 'folder' | 'state' | 'audit' | 'now'>;
  readonly #remotes: () => readonly RemoteTarget[];

  constructor(
    context: Pick<ServiceContext, 'folder' | 'state' | 'audit' | 'now'>,
    remotes: () => readonly RemoteTarget[],
  ) {
    this.#context = context;
    this.#remotes = remotes;
  }

  /** @param why who removes it, as the end of a sentence: `by ada`. */
  note(backup: string, why: string): void {
    const { state, now } = this.#context;
    state.history.addRemoval({ backup, at: now(), why });
  }

  /** A copy that is still here, or at another target, is not gone. */
  noteIfGone(name: string, why: string): void {
    const isHere = existsSync(join(this.#context.folder.path, name));
    if (!isHere && !this.#remotes().some((remote) => remote.find(name))) this.note(name, why);
  }

  /** Retention removed it from the folder. */
  byRetention(backup: string): void {
    this.note(backup, BY_RETENTION);
    this.#context.audit.add({ act: 'retention', subject: backup, target: 'local' }, THE_SERVICE_ITSELF);
  }
}
