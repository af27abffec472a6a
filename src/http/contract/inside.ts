/**
 * What lies inside a backup, a captured moment or the live database: tables, rows, differences, the moment at which it
 * broke, and the rows that are brought back.
 */
import { z } from 'zod';
import { time } from './common.ts';

/** A backup's name, a bookmark of a captured moment (16 hex digits), or `now`: the live database. */
export const insideOf = z.string().min(1).max(255);

/**
 * NULL, a number and a short text stand for themselves. An integer beyond 2^53, an infinite number, a blob and a text of more
 * than 200 characters are objects; of the last two only the beginning is there.
 */
export const cell = z.union([
  z.null(),
  z.number(),
  z.string(),
  z.object({ integer: z.string() }),
  z.object({ real: z.enum(['Infinity', '-Infinity']) }),
  z.object({ text: z.string(), bytes: z.number() }),
  /** `start` is up to 32 bytes in hex. */
  z.object({ blob: z.number(), start: z.string() }),
]);

/** Names a row of a table: its primary key, or else its rowid, as text that only the server reads. */
export const rowKey = z.string().max(4_096);

export const insideRow = z.object({ key: rowKey.nullable(), cells: z.array(cell) });

const column = z.object({
  name: z.string(),
  /** As declared; empty where nothing is. */
  type: z.string(),
  notNull: z.boolean(),
  /** 1 for the first column of the primary key, 0 for none. */
  keyAt: z.number(),
  references: z.object({ table: z.string(), column: z.string() }).nullable(),
});

/** `GET /api/look?of=`. */
export const lookQuery = z.object({ of: insideOf });
export const look = z.object({
  of: z.string(),
  at: time,
  sizeBytes: z.number(),
  tables: z.array(
    z.object({
      name: z.string(),
      kind: z.enum(['table', 'view', 'virtual']),
      /** From the facts of the backup; null where nobody counted. */
      rows: z.number().nullable(),
      /** Rows can be named: it has a primary key or a rowid. */
      hasKey: z.boolean(),
      columns: z.array(column),
      sql: z.string(),
    }),
  ),
});

const operators = ['is', 'is not', 'contains', 'greater', 'less', 'empty', 'not empty'] as const;
/** `value` is left out for `empty` and `not empty`. */
export const rowFilter = z.object({
  column: z.string().max(1_000),
  operator: z.enum(operators),
  value: z.string().max(10_000).optional(),
});

/** `GET /api/look/rows`. `filters` is JSON: an array of `rowFilter`. `after` is the `next` of the page before. */
export const rowsQuery = z.object({
  ...{ of: insideOf, table: z.string().max(1_000), sort: z.string().max(1_000).optional() },
  descending: z.enum(['true']).optional(),
  search: z.string().max(1_000).optional(),
  filters: z.string().max(20_000).optional(),
  after: z.string().max(10_000).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});
export const rows = z.object({
  columns: z.array(z.string()),
  rows: z.array(insideRow),
  /** Null on the last page. */
  next: z.string().nullable(),
});

/** `GET /api/look/row`: the whole row; texts up to 64 KB, the rest is cut. */
export const rowQuery = z.object({ of: insideOf, table: z.string().max(1_000), key: rowKey });
export const wholeRow = z.object({ columns: z.array(column), cells: z.array(cell) });

/** `GET /api/look/cell`: the bytes of one cell, as a file. */
export const cellQuery = rowQuery.extend({ column: z.string().max(1_000) });

/** `POST /api/look/sql`: one statement that only reads. Ends with the request. */
export const sqlBody = z.strictObject({ of: insideOf, sql: z.string().min(1).max(100_000) });
export const sqlAnswer = z.object({
  columns: z.array(z.string()),
  rows: z.array(z.array(cell)),
  /** What cut it off; null if this is all. */
  cut: z.enum(['rows', 'bytes']).nullable(),
  ms: z.number(),
});

/** `GET /api/compare`: `a` is the older one. */
export const compareQuery = z.object({ a: insideOf, b: insideOf });
const side = z.object({ of: z.string(), at: time });
export const comparison = z.object({
  ...{ a: side, b: side },
  /** SQL as a unified difference, one line each, with `+`, `-` or a blank before it; empty where the schemas are equal. */
  schema: z.array(z.string()),
  /** Those that differ first, most removals first. */
  tables: z.array(
    z.object({
      name: z.string(),
      /** Rows; null where there is no such table. */
      a: z.number().nullable(),
      b: z.number().nullable(),
      /** Null where they cannot be told: another key, or no table on one side. */
      added: z.number().nullable(),
      removed: z.number().nullable(),
      changed: z.number().nullable(),
      /** False: without a key, changed rows show as removed and added. */
      hasKey: z.boolean(),
      isEqual: z.boolean(),
      /** Why its rows are not compared, as one sentence. */
      why: z.string().nullable(),
    }),
  ),
});

/** `GET /api/compare/rows`: those of one table, by pages. */
export const comparedRowsQuery = compareQuery.extend({
  table: z.string().max(1_000),
  change: z.enum(['added', 'removed', 'changed']),
  after: z.string().max(10_000).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});
export const comparedRows = z.object({
  columns: z.array(z.string()),
  rows: z.array(
    z.object({
      key: rowKey.nullable(),
      /** Null for an added row. */
      a: z.array(cell).nullable(),
      /** Null for a removed row. */
      b: z.array(cell).nullable(),
      /** Which cells of a changed row differ, by their place among `columns`. */
      differs: z.array(z.number()),
    }),
  ),
  next: z.string().nullable(),
});

/** What is asked for at each point: it must have been true once and be false now, or the other way round. */
export const question = z.union([
  z.strictObject({ sql: z.string().min(1).max(100_000) }),
  z.strictObject({
    table: z.string().max(1_000),
    /** The row that is watched: the value of one column. */
    where: z.strictObject({ column: z.string().max(1_000), value: z.string().max(10_000) }),
    has: z.strictObject({
      column: z.string().max(1_000),
      operator: z.enum(operators),
      value: z.string().max(10_000).optional(),
    }),
  }),
  /** The row is there. */
  z.strictObject({
    table: z.string().max(1_000),
    where: z.strictObject({ column: z.string().max(1_000), value: z.string().max(10_000) }),
  }),
  z.strictObject({ table: z.string().max(1_000), atLeast: z.number().int().min(0) }),
]);

/** `POST /api/find/cost`: what `POST /api/find` of the same body would take. */
export const findBody = z.strictObject({ question });
export const findCost = z.object({
  backups: z.number(),
  moments: z.number(),
  /** At most so many points are opened. */
  checks: z.number(),
  /** Bytes that are fetched from targets, at most. */
  fetchBytes: z.number(),
});

const point = z.object({
  of: z.string(),
  at: time,
  kind: z.enum(['backup', 'moment', 'now']),
  result: z.enum(['true', 'false', 'unknown']),
  /** Why it can't be told. */
  why: z.string().nullable(),
});

/** `POST /api/find` answers lines: a `check` each, at the end an `answer` (or an `error`). It ends with the client. */
export const findLine = z.union([
  z.object({ check: point }),
  z.object({
    answer: z.object({
      /** `flipped`: found. Else why there is nothing to find. */
      outcome: z.enum(['flipped', 'always-true', 'always-false', 'unknown']),
      /** The SQL that was asked. */
      sql: z.string(),
      /** The last point before the newest flip, and the first behind it. */
      last: point.nullable(),
      first: point.nullable(),
      /** One captured commit made it. */
      isCommit: z.boolean(),
      /** Flips beside this one were seen among the points that were opened. */
      flippedBefore: z.number(),
      /** Tables that differ between the two. */
      tables: comparison.shape.tables,
    }),
  }),
]);

const rule = z.enum(['keep', 'take', 'stop']);
/** Which rows of `of` come back; `keys` left out: all that were removed since, and with `changed` those that were changed. */
const rescuedTable = z.strictObject({
  table: z.string().max(1_000),
  keys: z.array(rowKey).max(10_000).optional(),
  changed: z.boolean().optional(),
  /** For a row that is there with other content: keep what is live (default), take the backup's, or stop. */
  conflicts: rule.optional(),
});
export const rescueBody = z.strictObject({
  of: insideOf,
  tables: z.array(rescuedTable).min(1).max(1_000),
  /** Where the rows were last as they are wanted: rows that differ from it in the live database were changed since. */
  since: insideOf.optional(),
  /** Triggers of the app fire for what is written; they do not unless this says so. */
  triggers: z.boolean().optional(),
  /** Rows that others need by a foreign key come along; true unless this says otherwise. */
  withNeeded: z.boolean().optional(),
});

/** `POST /api/rescue/plan`: what it would do. Nothing is written. */
export const rescuePlan = z.object({
  of: z.string(),
  at: time,
  /** For `POST /api/rescue`: the live rows that it speaks of, as a digest. */
  expected: z.string(),
  writes: z.number(),
  tables: z.array(
    z.object({
      name: z.string(),
      /** Asked for, and needed by them. */
      picked: z.number(),
      needed: z.number(),
      insert: z.number(),
      update: z.number(),
      same: z.number(),
      conflicts: z.number(),
      rule,
      hasKey: z.boolean(),
      triggers: z.array(z.string()),
    }),
  ),
  /** The first 100. */
  conflicts: z.array(
    z.object({
      table: z.string(),
      key: rowKey,
      columns: z.array(z.string()),
      backup: z.array(cell),
      live: z.array(cell),
      result: rule,
    }),
  ),
  /** Sentences; while there is one, nothing can be written. */
  blocked: z.array(z.string()),
  warnings: z.array(z.string()),
  bytes: z.number(),
});

export const rescueId = z.string().regex(/^\d{8}t\d{6}-[\da-f]{12}$/);

/** `POST /api/rescue`: DB_CHANGED where the rows are not as they were planned. */
export const rescueGoBody = rescueBody.extend({ expected: z.string().max(200) });
export const rescued = z.object({
  id: z.string(),
  at: time,
  of: z.string(),
  written: z.number(),
  tables: z.array(z.object({ name: z.string(), inserted: z.number(), updated: z.number() })),
  user: z.string().nullable(),
  /** When it was undone. */
  undoneAt: time.nullable(),
});
export const rescuedAnswer = z.object({ rescue: rescued });
/** `POST /api/rescues/:rescue/undo`: rows that others changed in the meantime are left alone. */
export const rescueUndone = z.object({ rescue: rescued, undone: z.number(), left: z.number() });
/** `GET /api/rescues`: the newest first; each can be undone for 30 days. */
export const rescues = z.object({ rescues: z.array(rescued) });

export type Cell = z.infer<typeof cell>;
export type Look = z.infer<typeof look>;
export type LookRows = z.infer<typeof rows>;
export type WholeRow = z.infer<typeof wholeRow>;
export type SqlAnswer = z.infer<typeof sqlAnswer>;
export type Comparison = z.infer<typeof comparison>;
export type ComparedRows = z.infer<typeof comparedRows>;
export type Question = z.infer<typeof question>;
export type FindCost = z.infer<typeof findCost>;
export type FindLine = z.infer<typeof findLine>;
export type RescueBody = z.input<typeof rescueBody>;
export type RescuePlan = z.infer<typeof rescuePlan>;
export type Rescued = z.infer<typeof rescued>;
export type RescueUndone = z.infer<typeof rescueUndone>;
