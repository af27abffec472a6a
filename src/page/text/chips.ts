/** A filter that can be pressed, and how much it shows. */
export interface Chip<Id extends string> {
  readonly id: Id;
  readonly label: string;
  /** Left out if nobody knows how many there are in all. */
  readonly count?: number;
}
