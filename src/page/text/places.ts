/** Whose the places are, and who else writes there: what the page asks about. Pure. */
import type { Status } from '../../http/contract.ts';

export type Place = Status['places'][number];
export type Owner = NonNullable<Place['other']>;
type Writer = NonNullable<Place['writer']>;
export type Foreign = Place & { readonly other: Owner };
export type Shared = Place & { readonly writer: Writer };

export const isForeign = (place: Place): place is Foreign => place.owner === 'foreign' && place.other !== null;
export const isShared = (place: Place): place is Shared => place.writer !== null;

/** What another database is called here: many have the same name. */
export const strangerName = (name: string, own: string): string => (name === own ? `another ${name}` : name);

/** `./storage/backups`, `s3://my-backups/shop` */
export function placeName({ local, targets }: Status, target: string): string {
  const found = targets.find((candidate) => candidate.target === target);
  return found === undefined ? local.path : found.where;
}

export interface FactOfPlace {
  readonly name: string;
  readonly there: string;
  readonly here: string;
  /** Null: it tells nothing, or nobody knows. */
  readonly isSame: boolean | null;
  /** Beside or instead of "same" and "differs". */
  readonly word?: string;
}
