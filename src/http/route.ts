/**
 * A row of the table that is the surface under `/backup` (`routes/index.ts`). Everything about a route stands in its row:
 * the address, the right, what comes in and what goes out, and the handler. What finds a route, checks a request against
 * it, documents it and gives the page its types is derived from the rows.
 *
 * A handler answers what its contract says, and the resolver makes JSON of it; or a `Response`, for another status or for
 * what is not JSON. It never reads a request's body: the resolver does, up to a limit, and only if the row has a `body`.
 */
import type { z } from 'zod';
import type { Errands } from '../fleet/errands.ts';
import type { FleetDatabase, FleetPort } from '../fleet/fleet-port.ts';
import type { Act } from '../service/audit/audit.ts';
import type { BackupServicePort } from '../service/service-port.ts';
import type { Access } from './access/auth.ts';
import type { Action } from './access/authorize.ts';
import type { Costly } from './access/rate-limits.ts';
import type { SignIn } from './access/sign-in.ts';
import type { OpenStreams } from './events.ts';
import type { PageAssets } from './page-assets.ts';
import type { ServedDatabase } from './served-database.ts';

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

/** Where a route is found: of the only database, above several, or below the name of one of several. */
export type Place = 'alone' | 'top' | 'below';

/** JSON by status; a media type stands for what is not JSON. */
type Answers = Readonly<Record<number, z.ZodType | string>>;

export interface Route<
  M extends Method = Method,
  Path extends string = string,
  Query extends z.ZodObject = z.ZodObject,
  Body extends z.ZodType = z.ZodType,
  Told extends Answers = Answers,
> {
  readonly method: M;
  readonly path: Path;
  readonly right: Action | Readonly<Record<Place, Action>>;
  /** One line of the OpenAPI document. */
  readonly summary: string;
  readonly query?: Query;
  readonly body?: Body;
  /** The body is not JSON but bytes, as many at most. */
  readonly bytesMax?: number;
  /** The body is that of a form, not JSON. */
  readonly isForm?: boolean;
  /** The code of the error for a wrong body; `BAD_REQUEST` by default. */
  readonly wrongBody?: 'BAD_CONFIG';
  readonly answers: Told;
  /** Which of the rate limits holds for it. */
  readonly costs?: Costly;
  /** It may take minutes, and a sign of life is sent meanwhile (`longAnswer`). */
  isLong?(query: z.output<Query>): boolean;
  /** Its first byte may take minutes and nothing can be sent before: S3 is asked first. */
  readonly isSlow?: boolean;
  /** Open pages are told to fetch the list of backups again afterwards. */
  readonly changesBackups?: boolean;
  /** Open to all if one signs in on our own page: it is that page, or its style, or leads there. */
  readonly leadsToSignIn?: boolean;
  /** There only if one signs in on our own page. */
  readonly forSignIn?: boolean;
  /** Stands behind the others of its path, is not named in `Allow`, and gets its parameters as they came. */
  readonly fallback?: boolean;
  /** Answers for one database: the only one, or the one that the address names. */
  handle?(context: OfOne<Path, z.output<Query>, z.output<Body>>): Answer<Told> | Promise<Answer<Told>>;
  /** Answers above several databases, for those on which the asker has the right. */
  ofAll?(context: OfAll<Path, z.output<Query>, z.output<Body>>): Answer<Told> | Promise<Answer<Told>>;
  /** Answers once, above however many databases; beside it `handle` answers below a name alone. */
  atTop?(context: Asked<Path, z.output<Query>, z.output<Body>>): Answer<Told> | Promise<Answer<Told>>;
}

/** A row as it is written: this only holds its types together. */
export function route<
  const M extends Method,
  const Path extends string,
  const Told extends Answers,
  Query extends z.ZodObject = z.ZodObject<Record<never, never>>,
  Body extends z.ZodType = z.ZodUndefined,
>(row: Route<M, Path, Query, Body, Told>): Route<M, Path, Query, Body, Told> {
  return row;
}

/** For `isLong`. */
export const always = (): boolean => true;

/** What every handler is given. */
export interface Asked<Path extends string = string, Query = AnyQuery, Body = unknown> {
  readonly request: Request;
  readonly params: Readonly<Record<NamesIn<Path>, string>>;
  readonly query: Query;
  readonly body: Body;
  readonly user: string | undefined;
  readonly site: Site;
  /** Asks for a further right, on the database of the address, or above all. Throws FORBIDDEN, or UNAUTHORIZED. */
  authorize(action: Action): Promise<Access>;
  may(action: Action): Promise<boolean>;
  /** The databases on which the asker has that right; throws if there is none. */
  allowed(action: Action): Promise<readonly FleetDatabase[]>;
}

export interface OfOne<Path extends string = string, Query = AnyQuery, Body = unknown> extends Asked<
  Path,
  Query,
  Body
> {
  /** Throws GONE if the address names none; only what needs no right on one gets that far. */
  readonly database: ServedDatabase;
  /** The same: `database.service`. */
  readonly service: BackupServicePort;
  /** It is one of several; one signs in above. */
  readonly isBelow: boolean;
}

export interface OfAll<Path extends string = string, Query = AnyQuery, Body = unknown> extends Asked<
  Path,
  Query,
  Body
> {
  readonly fleet: FleetPort;
  /** Those on which the asker has the route's right. */
  readonly databases: readonly FleetDatabase[];
  /** The right was given on all of them at once. */
  readonly isAllowedAll: boolean;
}

/** What the routes of one mount share. */
export interface Site {
  /** What guards several databases; null if there is one that is called by no name. */
  readonly fleet: FleetPort | null;
  readonly page: PageAssets;
  /** Undefined where an app says who may act, or nobody but this machine is answered. */
  readonly signIn: SignIn | undefined;
  readonly pingMs: number;
  /** What was asked of several databases at once. */
  readonly errands: Errands;
  /** Event streams of the overview. */
  readonly openStreams: OpenStreams;
  readonly record: Recorder;
  readonly onError: (error: unknown, request: Request) => void;
  /** Whether one of several databases is not protected, as strangers hear it. */
  readonly isAnyFailing: () => Promise<boolean>;
  /** The OpenAPI document of the routes that stand here. */
  readonly document: () => object;
}

/** Writes into the audit record what happened before the service was asked. */
export type Recorder = (request: Request, act: Act, user?: string) => void;

type AnyQuery = Readonly<Record<string, unknown>>;

/** As they came; `*` is the rest of a path. */
export type Params = Readonly<Record<string, string | undefined>>;

/** `filename` of `/api/backups/:filename/verify`, `*` of `/*`. */
export type NamesIn<Path extends string> = Path extends `${infer Word}/${infer Rest}`
  ? NameIn<Word> | NamesIn<Rest>
  : NameIn<Path>;
type NameIn<Word extends string> = Word extends `:${infer Name}` ? Name : Word extends '*' ? '*' : never;

type Answer<Told extends Answers> = Response | (Told[200] extends z.ZodType ? BeforeJson<z.output<Told[200]>> : never);

/** The contract's form before it is JSON: a `Date` may stand for its text (`serialize`). */
type BeforeJson<T> = T extends string
  ? string extends T
    ? T | Date
    : T
  : T extends readonly (infer Item)[]
    ? readonly BeforeJson<Item>[]
    : T extends object
      ? { readonly [Key in keyof T]: BeforeJson<T[Key]> }
      : T;
