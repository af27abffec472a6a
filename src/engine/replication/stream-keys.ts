/**
 * Where the segments of a stream lie at a target, below its prefix: in a folder as Litestream's files lie
 * (`continuous/ltx/<level>/<name>`), at S3 as its objects (`continuous/<level in 4 hex digits>/<name>`). A sealed one bears
 * `.age` behind its name.
 */
import type { TargetAccess } from '../store/kinds.ts';
import { parseSegmentName, segmentName, type SegmentSpan } from './segment.ts';

export const STREAM_PREFIX = 'continuous/';

const SEALED = '.age';

/** What the key of a segment says. */
export interface KeyedSegment extends SegmentSpan {
  readonly level: number;
  readonly isSealed: boolean;
}

type StoreKind = TargetAccess['kind'];

export function segmentKey(kind: StoreKind, { level, isSealed, ...span }: KeyedSegment): string {
  return `${STREAM_PREFIX}${folderOf(kind, level)}/${segmentName(span)}${isSealed ? SEALED : ''}`;
}

/** Null for a key of something else. */
export function parseSegmentKey(kind: StoreKind, key: string): KeyedSegment | null {
  const pattern = kind === 's3' ? /^continuous\/([0-9a-f]{4})\/([^/]+)$/ : /^continuous\/ltx\/([0-9])\/([^/]+)$/;
  const [, level = '', file = ''] = pattern.exec(key) ?? [];
  const isSealed = file.endsWith(SEALED);
  const span = parseSegmentName(isSealed ? file.slice(0, -SEALED.length) : file);
  return span && { ...span, level: Number.parseInt(level, 16), isSealed };
}

/** The marks, beside the segments. */
export function marksKey({ isSealed }: { readonly isSealed: boolean }): string {
  return `${STREAM_PREFIX}marks.json${isSealed ? SEALED : ''}`;
}

function folderOf(kind: StoreKind, level: number): string {
  return kind === 's3' ? level.toString(16).padStart(4, '0') : `ltx/${level}`;
}
