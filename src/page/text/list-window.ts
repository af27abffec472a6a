/** Which part of a long list is drawn: what is on the screen, and a little before and after it. Pure. */

interface Item {
  readonly height: number;
}

interface Part {
  readonly from: number;
  readonly to: number;
  /** The height of what is left out. */
  readonly above: number;
  readonly below: number;
}

const MARGIN_PX = 400;

/** @param view the screen, measured from the top of the list. */
export function partOf(items: readonly Item[], view: { readonly top: number; readonly bottom: number }): Part {
  const ends: number[] = [];
  for (const { height } of items) ends.push((ends.at(-1) ?? 0) + height);
  const whole = ends.at(-1) ?? 0;
  const first = ends.findIndex((end) => end > view.top - MARGIN_PX);
  const from = first === -1 ? items.length : first;
  const after = ends.findIndex((end) => end >= view.bottom + MARGIN_PX);
  const to = after === -1 ? items.length : after + 1;
  return { from, to, above: ends[from - 1] ?? 0, below: whole - (ends[to - 1] ?? 0) };
}
