/** How an app says who may do what. */

/** What a request wants. `page` is the dashboard's own files, `open` needs no right. */
export type Action =
  | 'open'
  | 'page'
  | 'read'
  | 'metrics'
  | 'audit'
  | 'download'
  | 'look'
  | 'backup'
  | 'verify'
  | 'change'
  | 'configure'
  | 'delete'
  | 'restore';

/** Which of several databases is meant; null: all of them, or the only one. */
export interface On {
  readonly database: string | null;
}

export type Verdict = boolean | { readonly user: string };

/** A user who may not act on all databases is judged for each, and sees those alone. */
export type Authorize = (request: Request, action: Action, on: On) => Verdict | Promise<Verdict>;
