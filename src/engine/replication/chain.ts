/**
 * Whether the segments lead to the newest moment, by their names and headers alone. What they hold is read by a merge, a
 * drill or a restore.
 */
import { BackupError } from '../../words/errors.ts';
import type { LocalStream } from './local-stream.ts';
import { headerOver } from './merge.ts';
import { planStream } from './plan.ts';
import { bookmarkOf } from './segment.ts';

interface Chain {
  /** The newest moment that there ever was. */
  readonly lastTxid: bigint;
  /** Why it can't be reached; null as far as names and headers say. */
  readonly fault: BackupError | null;
}

/**
 * Lists a stream that looks broken once more first, for a read that failed just once.
 *
 * @param toldTxid the newest moment that was ever told.
 */
export function followChain(stream: LocalStream, toldTxid: bigint): Chain {
  if (faultOf(stream, toldTxid) !== null) stream.refresh();
  const newestTxid = stream.newest?.maxTxid ?? 0n;
  return { lastTxid: newestTxid < toldTxid ? toldTxid : newestTxid, fault: faultOf(stream, toldTxid) };
}

function faultOf({ segments, newest }: LocalStream, toldTxid: bigint): BackupError | null {
  if (newest === null) return toldTxid > 0n ? missingBehind(null) : null;
  const plan = planStream({ txid: newest.maxTxid }, { segments, bases: [] });
  if (plan.outcome === 'none') return missingBehind(plan.before);
  if (plan.outcome === 'gap') return missingBehind(plan.txid);
  try {
    headerOver(plan.segments.map(({ header }) => header));
  } catch (error) {
    return BackupError.from(error);
  }
  return newest.maxTxid < toldTxid ? missingBehind(newest.maxTxid) : null;
}

function missingBehind(txid: bigint | null): BackupError {
  const what = txid === null ? 'none has all pages' : `none goes on from ${bookmarkOf(txid)}`;
  return new BackupError('BAD_BACKUP', what, { hint: 'Find out who removed it.' });
}
