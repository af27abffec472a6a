/**
 * What a worker and its owner say to each other: lines of JSON both ways. The first line down is the request; it is sent
 * again to each process that takes the place of one that ended, so a request must tell all that a fresh start needs.
 */
import type { ErrorBody } from '../../words/errors.ts';
import type { ReplicateNews, ReplicateOrder, ReplicateRequest } from '../stories/replicate.ts';

export interface WorkerMap {
  replicate: { readonly request: ReplicateRequest; readonly down: ReplicateOrder; readonly up: ReplicateNews };
}
export type WorkerKind = keyof WorkerMap;
export type Down<Kind extends WorkerKind> = WorkerMap[Kind]['down'];
export type Up<Kind extends WorkerKind> = WorkerMap[Kind]['up'];

/** The first line down. */
export interface WorkLine<Kind extends WorkerKind = WorkerKind> {
  readonly work: Kind;
  readonly request: WorkerMap[Kind]['request'];
  /** The process that the worker belongs to. */
  readonly parent: number;
  /** How often the worker must give a sign of life. */
  readonly beatMs: number;
}

export type WorkerLine<Kind extends WorkerKind = WorkerKind> =
  | { readonly type: 'beat' }
  | { readonly type: 'message'; readonly message: Up<Kind> }
  | { readonly type: 'error'; readonly error: ErrorBody; readonly stack: string };
