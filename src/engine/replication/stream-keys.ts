/**
 * Where the segments of a stream lie at a target, below its prefix. It is Litestream's layout, so that it can read what lies
 * there plain: in a folder the level in decimal below `ltx`, in a bucket in four hex digits.
 */
import { parseSegmentName, type SegmentSpan, segmentName } from './segment.ts';

export type StreamKind = 'folder' | 's3';

export const STREAM_PREFIX = 'continuous/';
const SEALED = '.age';
const LEVEL_MAX = 9;

export interface SegmentKey extends SegmentSpan {
  readonly level: number;
  readonly isSealed: boolean;
}

export function segmentKey(
  kind: StreamKind,
  level: number,
  span: SegmentSpan,
  { isSealed }: Pick<SegmentKey, 'isSealed'>,
): string {
  return levelPrefix(kind, level) + segmentName(span) + (isSealed ? SEALED : '');
}

/** What the keys of a level begin with. */
function levelPrefix(kind: StreamKind, level: number): string {
  const folder = kind === 'folder' ? `ltx/${level}` : level.toString(16).padStart(4, '0');
  return `${STREAM_PREFIX}${folder}/`;
}

/** Null for a key that is no segment's. */
export function parseSegmentKey(kind: StreamKind, key: string): SegmentKey | null {
  const form = kind === 'folder' ? /^continuous\/ltx\/([0-9])\/([^/]+)$/ : /^continuous\/([0-9a-f]{4})\/([^/]+)$/;
  const [, folder, file] = form.exec(key) ?? [];
  if (folder === undefined || file === undefined) return null;
  const level = Number.parseInt(folder, 16);
  const isSealed = file.endsWith(SEALED);
  const span = parseSegmentName(isSealed ? file.slice(0, -SEALED.length) : file);
  return span === null || level > LEVEL_MAX ? null : { level, isSealed, ...span };
}
