/** Which runtimes can run this program: what `engines` of the package says, in words, before anything fails by itself. */

const OLDEST_NODE = '22.16';
const OLDEST_BUN = '1.4';

/** Null if it can; else what to say. Bun calls itself a Node too, of the version that it stands for. */
export function unsupportedRuntime({
  node = '',
  bun,
}: {
  readonly node?: string;
  readonly bun?: string;
}): string | null {
  if (bun === undefined ? isAtLeast(node, OLDEST_NODE) : isAtLeast(bun, OLDEST_BUN)) return null;
  const found = bun === undefined ? `Node ${node}` : `Bun ${bun}`;
  return `velist-backup needs Node ${OLDEST_NODE} or newer, or Bun ${OLDEST_BUN} or newer; this is ${found}.`;
}

function isAtLeast(version: string, oldest: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = oldest.split('.').map(Number);
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
}
