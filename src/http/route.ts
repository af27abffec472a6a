/** One row of the table that is the surface under `/backup`. */
import type { Act } from '../service/audit/audit.ts';
import type { Guarded } from '../fleet/fleet-port.ts';
import type { Action } from './access/authorize.ts';
import type { Costly } from './access/rate-limits.ts';

export type Params = Readonly<Record<string, string | undefined>>;

export interface Call {
  readonly request: Request;
  readonly params: Params;
  readonly query: URLSearchParams;
  readonly user: string | undefined;
  /** Those of several databases on which the right was given, if the route asks for `each`. */
  readonly allowed?: readonly Guarded[];
  /** The right was given on all of them at once. */
  readonly isAllowedAll?: boolean;
}

/** Writes into the audit record what happened before the service was asked. */
export type Recorder = (request: Request, act: Act, user?: string) => void;

export interface Route {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly action: Action;
  /** Which of the rate limits holds for it. */
  readonly costs?: Costly;
  /** Is of several databases: whoever has the right on some of them gets those. */
  readonly each?: boolean;
  /** Stands behind the others of its path and is not named in `Allow`. */
  readonly fallback?: boolean;
  /** Its first byte may take minutes and nothing can be sent before: S3 is asked first. */
  readonly isSlow?: boolean;
  handle(call: Call): Response | Promise<Response>;
}
