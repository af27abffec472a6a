/**
 * The HTTP contract: what each route takes and answers, as zod schemas. The page imports the types of this file and
 * nothing else of ours; the rows below `routes/` name the schemas, so that what comes in is checked against them and
 * TypeScript checks what goes out. Dates are ISO 8601 strings in UTC, sizes are bytes, durations milliseconds.
 */
export * from './contract/common.ts';
export * from './contract/runs.ts';
export * from './contract/backups.ts';
export * from './contract/arrivals.ts';
export * from './contract/restores.ts';
export * from './contract/moments.ts';
export * from './contract/rescues.ts';
export * from './contract/status.ts';
export * from './contract/databases.ts';
export * from './contract/settings.ts';
export * from './contract/targets.ts';
export * from './contract/set-up.ts';
export * from './contract/access.ts';
