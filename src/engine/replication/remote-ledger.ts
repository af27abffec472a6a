/** What a target holds of the stream: as it was listed once, and as we changed it since. */
import { SNAPSHOT_LEVEL } from './plan.ts';
import type { RemoteSegment } from './remote-segments.ts';
import type { SegmentSpan } from './segment.ts';

type Named = SegmentSpan & { readonly level: number };

export class RemoteLedger {
  readonly #segments = new Map<string, RemoteSegment>();
  #sizeBytes = 0;
  #newestCaptured = 0n;
  #wholes: readonly RemoteSegment[] = [];

  constructor(listed: readonly RemoteSegment[]) {
    for (const one of listed) this.add(one);
  }

  get segments(): readonly RemoteSegment[] {
    return [...this.#segments.values()];
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The oldest moment that has all pages. */
  get oldestAt(): Date | null {
    return this.#wholes.reduce<Date | null>((oldest, { at }) => (oldest === null || at < oldest ? at : oldest), null);
  }

  /** The end of level 0; 0 where it is empty. */
  get newestCaptured(): bigint {
    return this.#newestCaptured;
  }

  get highest(): bigint {
    return this.segments.reduce((most, { maxTxid }) => (maxTxid > most ? maxTxid : most), 0n);
  }

  /** Sealed or not: what is stored stays as it is. */
  has(segment: Named): boolean {
    return this.#segments.has(idOf(segment));
  }

  add(segment: RemoteSegment): void {
    this.#sizeBytes += segment.sizeBytes - (this.#segments.get(idOf(segment))?.sizeBytes ?? 0);
    this.#segments.set(idOf(segment), segment);
    if (segment.level === SNAPSHOT_LEVEL) this.#noteWholes();
    // The newest of a level is never removed.
    if (segment.level === 0 && segment.maxTxid > this.#newestCaptured) this.#newestCaptured = segment.maxTxid;
  }

  remove(segments: readonly RemoteSegment[]): void {
    for (const one of segments) if (this.#segments.delete(idOf(one))) this.#sizeBytes -= one.sizeBytes;
    this.#noteWholes();
  }

  #noteWholes(): void {
    this.#wholes = this.segments.filter(({ level }) => level === SNAPSHOT_LEVEL);
  }
}

function idOf({ level, minTxid, maxTxid }: Named): string {
  return `${level}/${minTxid}-${maxTxid}`;
}
