/**
 * Was a backup's file written to after it was published? By its time alone, without reading it: a backup that something
 * overwrote with as many bytes stayed green for months, until somebody needed it.
 *
 * Another time says that somebody should look, not that the file is damaged: `cp -r` gives all files a new one. A disk or
 * a program that keeps coarser times than ours (FAT two seconds, NTFS a ten-millionth, some archives whole ones) only cuts
 * it off; that is no change.
 */

/** Nanoseconds: of NTFS, of programs that know microseconds, of archives and disks with coarser times. */
const COARSE_NS = [100n, 1_000n, 1_000_000n, 10_000_000n, 1_000_000_000n, 2_000_000_000n] as const;

/** @param publishedNs as the manifest has it, in nanoseconds since 1970. */
export function isChangedSince(publishedNs: string, modifiedNs: bigint): boolean {
  const apart = modifiedNs - BigInt(publishedNs);
  const distance = apart < 0n ? -apart : apart;
  return distance > 0n && !COARSE_NS.some((unit) => modifiedNs % unit === 0n && distance < unit);
}
