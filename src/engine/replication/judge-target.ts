/** Is what lies at a target of the line that is captured here? By bytes where they can be compared, else by what was noted. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { HEADER_BYTES } from '../format/ltx/header.ts';
import { getBytes, isNotThere, type ObjectStore } from '../store/store.ts';
import type { LocalSegment } from './local-stream.ts';
import type { Outbox } from './outbox.ts';
import type { RemoteSegment } from './remote-segments.ts';

interface Here {
  readonly segments: readonly LocalSegment[];
  readonly outbox: Outbox;
  readonly signal: AbortSignal;
}

/** True for an empty target, too. */
export async function isJudgedOurs(
  store: Pick<ObjectStore, 'get'>,
  listed: readonly RemoteSegment[],
  { segments, outbox, signal }: Here,
): Promise<boolean> {
  const highest = listed.reduce((most, { maxTxid }) => (maxTxid > most ? maxTxid : most), 0n);
  if (highest === 0n) return true;
  // The finest first: it is the one that was captured.
  const newest = listed.find(({ maxTxid }) => maxTxid === highest);
  if (newest === undefined) return false;
  const here = segments.find((one) => isSameSpan(one, newest));
  if (here && !newest.isSealed) return await hasSameHeader(store, newest.path, here.path, signal);
  if (outbox.reached === highest) return segments.some(({ maxTxid }) => maxTxid >= highest);
  // It was stored, and the answer was lost with the process.
  const sealed = outbox.sealedFile(newest);
  return existsSync(sealed) && (await isSameAs(store, newest.path, sealed, signal));
}

/** Is the object what lies in the file? */
export async function isSameAs(
  store: Pick<ObjectStore, 'get'>,
  key: string,
  path: string,
  signal: AbortSignal,
): Promise<boolean> {
  const file = openSync(path, 'r');
  try {
    let place = 0;
    for await (const chunk of store.get(key, { signal })) {
      const here = Buffer.alloc(chunk.length);
      if (readSync(file, here, 0, chunk.length, place) < chunk.length || here.compare(chunk) !== 0) return false;
      place += chunk.length;
    }
    return readSync(file, Buffer.alloc(1), 0, 1, place) === 0;
  } catch (error) {
    if (isNotThere(error)) return false;
    throw error;
  } finally {
    closeSync(file);
  }
}

/** The header says which stream it is, when it was captured, and the states before and after. */
async function hasSameHeader(
  store: Pick<ObjectStore, 'get'>,
  key: string,
  path: string,
  signal: AbortSignal,
): Promise<boolean> {
  const there = await getBytes(store, key, { from: 0, to: HEADER_BYTES - 1, limitBytes: HEADER_BYTES, signal });
  const here = Buffer.alloc(HEADER_BYTES);
  const file = openSync(path, 'r');
  try {
    readSync(file, here, 0, HEADER_BYTES, 0);
  } finally {
    closeSync(file);
  }
  return here.compare(there) === 0;
}

function isSameSpan(one: LocalSegment, other: RemoteSegment): boolean {
  return one.level === other.level && one.minTxid === other.minTxid && one.maxTxid === other.maxTxid;
}
