/**
 * The first step at a target, as of each job that writes there: is the place this database's, and are we its one writer?
 * Asked again once in a tick: another machine may have been told to take over, and this one may have been asleep.
 */
import type { PlaceIdentity } from '../catalog/identity.ts';
import { requireOwnTarget } from '../catalog/own-target.ts';
import { listRemote } from '../catalog/store-catalog.ts';
import { addressOf, type TargetAccess, type TargetStore, whereOf } from '../store/kinds.ts';
import type { WriterSelf } from '../writer/self.ts';
import { type Holding, holdPlace } from '../writer/writer.ts';
import type { Writing } from '../writer/writing.ts';
import type { WriterNews } from '../../words/story.ts';

/** This installation as a writer, as the service knows it. */
export interface ShipWriter {
  readonly self: WriterSelf;
  readonly writing: Writing;
}

/** What the service is to know of the place. */
export type PlaceNews =
  | { readonly type: 'writer'; readonly news: WriterNews }
  | { readonly type: 'identity'; readonly identity: PlaceIdentity }
  | { readonly type: 'warning'; readonly message: string };

interface ShipPlaceOptions {
  readonly name: string;
  readonly access: TargetAccess;
  readonly prefix: string;
  readonly store: TargetStore;
  readonly signal: AbortSignal;
  readonly now: () => Date;
  readonly onNews: (news: PlaceNews) => void;
}

export class ShipPlace {
  readonly #options: ShipPlaceOptions;
  /** Null where nobody asks: a stream that has its place for itself. */
  writer: ShipWriter | null;
  #holding: Holding | null = null;
  #confirmedMs = 0;

  constructor(options: ShipPlaceOptions, writer: ShipWriter | null) {
    this.#options = options;
    this.writer = writer;
  }

  /** Length of a tick, after which it is asked again; null where nobody asks. */
  get everyMs(): number | null {
    return this.writer?.writing.everyMs ?? null;
  }

  /**
   * @returns true if the place was taken just now: what lies there is to be looked at anew.
   * @throws BackupError FOREIGN_PLACE, PLACE_TAKEN, CLONED; as the target.
   */
  async hold(): Promise<boolean> {
    const { writer } = this;
    if (writer === null) return false;
    if (this.#holding !== null) {
      if (Math.abs(Date.now() - this.#confirmedMs) >= writer.writing.everyMs) await this.confirm();
      return false;
    }
    this.#holding = await this.#take(writer);
    this.#confirmedMs = Date.now();
    return true;
  }

  /** To be asked before something is removed. @throws BackupError PLACE_TAKEN, CLONED; as the target. */
  async confirm(): Promise<void> {
    const holding = this.#holding;
    // Whatever it is that fails: the place is taken anew, and looked at.
    this.#holding = null;
    await holding?.confirm();
    this.#holding = holding;
    this.#confirmedMs = Date.now();
  }

  async #take({ self, writing }: ShipWriter): Promise<Holding> {
    const { name, access, prefix, store, signal, now, onNews } = this.#options;
    const { identity } = await requireOwnTarget(store, self, {
      ...{ signal, before: null, target: name, place: whereOf(access, prefix), now: now() },
      list: async () => (await listRemote(store, { known: [], signal })).entries,
    });
    onNews({ type: 'identity', identity });
    const place = { store: store.root, prefix: prefix.replace(/^\/+|\/+$/g, '') };
    return await holdPlace(
      place,
      { self, writing, address: addressOf(access, prefix) },
      {
        ...{ signal, now },
        onEvent(event) {
          if (event.type === 'writer') onNews(event);
          else if (event.type === 'warning') onNews(event);
        },
      },
    );
  }
}
