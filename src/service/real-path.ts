/** Where a path leads, all links followed. A look takes several calls of the system, so it is asked once a second. */
import { truePath } from '../engine/disk/true-path.ts';

const HELD_MS = 1_000;

export function realPathOf(path: string): () => string {
  let held: { readonly real: string; readonly atMs: number } | null = null;
  return () => {
    const nowMs = performance.now();
    if (held === null || nowMs - held.atMs >= HELD_MS) held = { real: truePath(path), atMs: nowMs };
    return held.real;
  };
}
