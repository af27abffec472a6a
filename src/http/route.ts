/** One row of the table that is the surface under `/backup`. */
import type { Action } from './auth.ts';
import type { Costly } from './rate-limits.ts';

export type Params = Readonly<Record<string, string | undefined>>;

export interface Call {
  readonly request: Request;
  readonly params: Params;
  readonly query: URLSearchParams;
  readonly user: string | undefined;
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly action: Action;
  /** Which of the rate limits holds for it. */
  readonly costs?: Costly;
  /** Stands behind the others of its path and is not named in `Allow`. */
  readonly fallback?: boolean;
  /** Its first byte may take minutes and nothing can be sent before: S3 is asked first. */
  readonly isSlow?: boolean;
  handle(call: Call): Response | Promise<Response>;
}
