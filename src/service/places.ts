/** Whose the folder and each target are, and who writes there, put together from what each part knows. Pure. */
import type { PlaceStatus, TargetName } from './model.ts';

export interface PlacesKnown {
  /** In the order in which they are shown. */
  readonly targets: readonly TargetName[];
  readonly owners?: ReadonlyMap<TargetName, Pick<PlaceStatus, 'owner' | 'other'>>;
  readonly writers?: ReadonlyMap<TargetName, WriterStatus>;
}

export type WriterStatus = Pick<PlaceStatus, 'writer' | 'sparesOthersUntil'>;

const unknownOwner = { owner: 'unknown', other: null } as const;
const noWriter = { writer: null, sparesOthersUntil: null } as const;

export function composePlaces({ targets, owners, writers }: PlacesKnown): readonly PlaceStatus[] {
  return targets.map((target) => ({
    target,
    ...(owners?.get(target) ?? unknownOwner),
    ...(writers?.get(target) ?? noWriter),
  }));
}
