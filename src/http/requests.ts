/**
 * What a client may ask and what it is answered, by method and path: types derived from the table of routes, for the page.
 * This file has no code, and whoever imports a type of it loads nothing of the server.
 */
import type { z } from 'zod';
import type { NamesIn } from './route.ts';
import type { table } from './routes/index.ts';

type Row = (typeof table)[number];
type Rows = { readonly [Each in Row as `${Each['method']} ${Each['path']}`]: Each };

/** `POST /api/backups/:filename/verify`. */
export type RouteName = keyof Rows;

/** The JSON of any status; `unknown` for what is not JSON. */
export type AnswerTo<Name extends RouteName> = JsonOf<Rows[Name]['answers']>;
type JsonOf<Answers> = {
  [Status in keyof Answers]: Answers[Status] extends z.ZodType ? z.output<Answers[Status]> : never;
}[keyof Answers];

/** What it takes, apart from its name. */
export type RequestOf<Name extends RouteName> = Params<NamesIn<Rows[Name]['path']>> &
  Query<z.input<NonNullable<Rows[Name]['query']>>> &
  Body<z.input<NonNullable<Rows[Name]['body']>>>;
type Params<Names extends string> = [Names] extends [never]
  ? unknown
  : { readonly params: Readonly<Record<Names, string>> };
/** Text in an address; the row says what it means. */
type Query<Input> = string extends keyof Input
  ? unknown
  : { readonly query?: { readonly [Key in keyof Input]: string | number | undefined } };
type Body<Input> = [Input] extends [undefined]
  ? unknown
  : undefined extends Input
    ? { readonly body?: Input }
    : { readonly body: Input };
