/**
 * The replicator's process: it captures the commits of all databases that its owner names, each on its own, and ends with
 * its owner. It never ends for a fault of one of them.
 */
import type { ErrorBody } from '../../words/errors.ts';
import { BackupError } from '../../words/errors.ts';
import type { LogEnd } from '../replication/capture.ts';
import type { FollowOptions } from '../replication/follow-options.ts';
import { Replicator } from '../replication/replicator.ts';
import type { PlaceNews } from '../replication/ship-place.ts';
import type { ShipTarget } from '../replication/shipper.ts';
import type { StreamStatus } from '../replication/status.ts';

/** Nothing: what is to be followed comes by messages, and again to each process that takes the place of one that ended. */
export type ReplicateRequest = Readonly<Record<string, never>>;

export type ReplicateOrder =
  /** From now on, until `leave`. */
  | ({ readonly type: 'follow'; readonly id: string } & FollowOptions)
  | { readonly type: 'leave'; readonly id: string }
  /** Answered by `held`: nothing is captured until `cut`, or for a few seconds. */
  | { readonly type: 'hold'; readonly id: string; readonly call: number }
  /** Answered by `cut`: the moment that ends exactly there, if there is one. */
  | ({ readonly type: 'cut'; readonly id: string; readonly call: number } & LogEnd)
  /** From now on the stream is copied there. */
  | { readonly type: 'targets'; readonly id: string; readonly targets: readonly ShipTarget[] }
  /** Answered by `flushed` when all that is committed now is at these targets, all of them for null. */
  | {
      readonly type: 'durable';
      readonly id: string;
      readonly call: number;
      readonly targets: readonly string[] | null;
      readonly timeoutMs: number;
    }
  /** Answered when all that is committed now is captured. */
  | { readonly type: 'flush'; readonly id: string; readonly call: number };

export type ReplicateNews =
  | { readonly type: 'status'; readonly id: string; readonly status: StreamStatus }
  /** Whose a target is, and who writes there. */
  | { readonly type: 'place'; readonly id: string; readonly target: string; readonly news: PlaceNews }
  /** Its last capture is done, and its database is let go. */
  | { readonly type: 'left'; readonly id: string }
  | { readonly type: 'flushed'; readonly call: number; readonly bookmark: string; readonly at: string }
  | { readonly type: 'held'; readonly call: number }
  | { readonly type: 'cut'; readonly call: number; readonly moment: BackupMoment | null }
  | { readonly type: 'refused'; readonly call: number; readonly error: ErrorBody };

interface ReplicateContext {
  readonly signal: AbortSignal;
  readonly onMessage: (hear: (order: ReplicateOrder) => void) => void;
  readonly send: (news: ReplicateNews) => void;
}

/** The moment that a backup holds, as its manifest has it. */
export interface BackupMoment {
  readonly bookmark: string;
  /** In hex digits, as `header`. */
  readonly state: string;
  readonly tag: number;
  readonly header: string;
}

interface Followed {
  readonly replicator: Replicator;
  readonly abort: AbortController;
  readonly ended: Promise<void>;
}

/** Ends with the signal, once the last commits of all are captured. */
export async function replicate(_request: ReplicateRequest, context: ReplicateContext): Promise<void> {
  const followed = new Map<string, Followed>();
  context.onMessage((order) => void obey(order, followed, context));
  await new Promise<void>((resolve) => {
    if (context.signal.aborted) resolve();
    context.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  for (const { abort } of followed.values()) abort.abort();
  await Promise.all([...followed.values()].map(({ ended }) => ended));
}

async function obey(order: ReplicateOrder, followed: Map<string, Followed>, context: ReplicateContext): Promise<void> {
  const { id } = order;
  const one = followed.get(id);
  if (order.type === 'follow') {
    if (one === undefined && !context.signal.aborted) followed.set(id, follow(order, context));
    return;
  }
  if (order.type === 'leave') {
    one?.abort.abort();
    await one?.ended;
    followed.delete(id);
    context.send({ type: 'left', id });
    return;
  }
  if (order.type === 'targets') return one?.replicator.setTargets(order.targets);
  const { call } = order;
  try {
    if (one === undefined) throw notFollowed();
    if (order.type === 'hold') {
      await one.replicator.backups.hold();
      return context.send({ type: 'held', call });
    }
    if (order.type === 'cut') {
      const moment = await one.replicator.backups.cut(order);
      const told = moment && {
        ...{ bookmark: moment.bookmark, tag: moment.tag, header: moment.header },
        state: moment.state.toString(16).padStart(16, '0'),
      };
      return context.send({ type: 'cut', call, moment: told });
    }
    const { replicator } = one;
    const { bookmark, at } =
      order.type === 'durable' ? await replicator.durable(order.targets, order.timeoutMs) : await replicator.flush();
    context.send({ type: 'flushed', call, bookmark, at: at.toISOString() });
  } catch (error) {
    context.send({ type: 'refused', call, error: BackupError.from(error).toJSON() });
  }
}

function follow({ id, ...options }: Extract<ReplicateOrder, { type: 'follow' }>, { send }: ReplicateContext): Followed {
  const abort = new AbortController();
  const replicator = new Replicator(options, {
    signal: abort.signal,
    now: () => new Date(),
    onStatus: (status) => send({ type: 'status', id, status }),
    onPlace: (target, news) => send({ type: 'place', id, target, news }),
  });
  return { replicator, abort, ended: replicator.run() };
}

function notFollowed(): BackupError {
  return new BackupError('NOT_DURABLE', 'the commits of this database are not captured', {
    hint: 'Turn continuous backup on: BACKUP_CONTINUOUS=true.',
  });
}
