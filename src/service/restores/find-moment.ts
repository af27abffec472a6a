/**
 * Which captured moment a wish means, of the stream here and of those at targets. A bookmark or a mark is taken from the first
 * that has it; of a time, or of the newest, the latest that any of them has.
 *
 * While commits are captured here, the newest moment is here, and no target is asked for it. One that does not answer in time
 * stops no restore that can do without it: what was not asked is said.
 */
import { BackupError } from '../../words/errors.ts';
import { isBookmark, readRestorePoint, type RestorePoint, type RestorePointGiven } from '../../words/restore-point.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';
import type { CapturedMoment, MomentSource, OpenedBy } from '../continuous/moment-source.ts';

export interface FoundMoment extends CapturedMoment {
  readonly target: TargetName;
}

/** Where moments are looked for. */
export interface MomentPlaces {
  readonly here: MomentSource;
  /** Commits are captured here now, by whichever process. */
  readonly isCapturedNow: boolean;
  readonly there: readonly MomentSource[];
  at(target: TargetName): MomentSource;
}

/** A target has this long to answer where nobody asked for it by name. */
const ASK_MS = 10_000;

export class MomentSearch {
  readonly #places: MomentPlaces;
  readonly #from: TargetName | undefined;
  readonly #opened: OpenedBy;
  readonly #now: Date;
  /** Whole sentences. */
  readonly warnings: string[] = [];

  constructor(
    places: MomentPlaces,
    { from, now, ...opened }: OpenedBy & { readonly from: TargetName | undefined; readonly now: Date },
  ) {
    this.#places = places;
    this.#from = from;
    this.#opened = opened;
    this.#now = now;
  }

  /** A bookmark, or a mark where the text is no time; null for another wish. @throws BackupError NO_MOMENT for one that is nowhere. */
  async named(given: RestorePointGiven): Promise<FoundMoment | null> {
    const text = 'at' in given ? given.at : 'backup' in given ? given.backup : null;
    if (typeof text !== 'string') return null;
    const isName = !isBookmark(text) && 'at' in given && !isTime(text, this.#now);
    if (!isBookmark(text) && !isName) return null;
    const near: string[] = [];
    let asked = 0;
    for (const source of this.#sources()) {
      const bookmark = isName ? await this.#markNamed(text, source) : text;
      if (bookmark === null) continue;
      const moments = await this.#ask(source, () => source.moments({ bookmark }, this.#asked(source)));
      if (moments === null) continue;
      if (moments.found) return { bookmark, at: new Date(moments.found.at), target: source.target };
      if (moments.sizeBytes > 0 || source.target === 'local') asked++;
      near.push(...moments.near);
    }
    // A text that no stream knows is none of ours.
    if (asked === 0) return null;
    throw new BackupError('NO_MOMENT', `the stream does not hold the moment ${text}`, {
      hint: near.length === 0 ? 'See `velist-backup moments`.' : `The nearest that it holds: ${near.join(', ')}.`,
    });
  }

  /** What there is for a time, or as the newest; null where there is nothing. */
  async nearest(point: RestorePoint): Promise<FoundMoment | null> {
    if ('backup' in point) return null;
    const wish = 'at' in point ? { at: point.at.toISOString() } : ({ latest: true } as const);
    let best: FoundMoment | null = null;
    for (const source of this.#sources()) {
      // What is captured here is the newest there is.
      if (best !== null && this.#from === undefined && this.#places.isCapturedNow) break;
      const moments = await this.#ask(source, () => source.moments(wish, this.#asked(source)));
      if (!moments?.found) continue;
      const found = { bookmark: moments.found.bookmark, at: new Date(moments.found.at), target: source.target };
      if (best === null || found.at > best.at) best = found;
    }
    return best;
  }

  #sources(): readonly MomentSource[] {
    const { here, there } = this.#places;
    const all = this.#from === undefined ? [here, ...there] : [this.#places.at(this.#from)];
    return all.filter(({ hasStream }) => hasStream);
  }

  async #markNamed(name: string, source: MomentSource): Promise<string | null> {
    const moments = await this.#ask(source, () => source.moments(undefined, this.#asked(source)));
    return moments?.marks.find((mark) => mark.name === name)?.bookmark ?? null;
  }

  #asked({ target }: MomentSource) {
    const isByTheWay = target !== 'local' && this.#from === undefined;
    return { ...this.#opened, ...(isByTheWay && { signal: AbortSignal.timeout(ASK_MS) }) };
  }

  /** Null for a target that does not answer, where the others may do. */
  async #ask<Answer>({ target }: MomentSource, ask: () => Promise<Answer>): Promise<Answer | null> {
    try {
      return await ask();
    } catch (error) {
      if (target === 'local' || this.#from !== undefined) throw error;
      const { code, message } = BackupError.from(error);
      const why = code === 'ABORTED' ? `no answer in ${ASK_MS / 1_000} s` : message;
      const warning = `${targetWord(target)} could not be asked for its captured moments: ${why}.`;
      if (!this.warnings.includes(warning)) this.warnings.push(warning);
      return null;
    }
  }
}

function isTime(text: string, now: Date): boolean {
  try {
    readRestorePoint({ at: text }, now);
    return true;
  } catch {
    return false;
  }
}
