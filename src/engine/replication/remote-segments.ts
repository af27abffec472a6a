/** The segments of a stream at a target, as its listing has them: a look at no content. */
import type { TargetAccess } from '../store/kinds.ts';
import type { ListedObject, ObjectStore, OperationOptions } from '../store/store.ts';
import type { KeptSegment } from './keep.ts';
import { inOrder } from './local-stream.ts';
import { type KeyedSegment, parseSegmentKey, STREAM_PREFIX } from './stream-keys.ts';

export interface RemoteSegment extends KeptSegment {
  readonly isSealed: boolean;
}

/** Lower levels first, then in order. The time is that of the listing, which may be when it was stored. */
export async function listSegments(
  store: Pick<ObjectStore, 'list'>,
  kind: TargetAccess['kind'],
  options: OperationOptions,
): Promise<readonly RemoteSegment[]> {
  const found: RemoteSegment[] = [];
  for await (const object of store.list(STREAM_PREFIX, options)) {
    const segment = asSegment(kind, object);
    if (segment) found.push(segment);
  }
  return found.toSorted(inOrder);
}

function asSegment(kind: TargetAccess['kind'], { key, sizeBytes, modifiedAt }: ListedObject): RemoteSegment | null {
  const keyed: KeyedSegment | null = parseSegmentKey(kind, key);
  return keyed && { ...keyed, at: modifiedAt, path: key, sizeBytes, header: { walOffset: 0 } };
}
