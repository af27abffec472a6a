/**
 * `GET /api/openapi.json`: the contract as OpenAPI 3.1, made from the table of routes and the schemas of `contract.ts`,
 * so that it cannot say anything else than they do. What a route takes and answers stands in one list here, by method
 * and path; a route of the table that is missing in it is a fault that a test finds.
 */
import { z } from 'zod';
import { VERSION } from '../version.ts';
import * as contract from './contract.ts';
import type { Route } from './route.ts';

interface Described {
  readonly summary: string;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  /** JSON by status; a media type stands for what is not JSON. */
  readonly answers: Readonly<Record<number, z.ZodType | string>>;
}

const html = 'text/html';
const described: Readonly<Record<string, Described>> = {
  'GET /': { summary: 'The dashboard', answers: { 200: html } },
  'GET /login': { summary: 'The page to sign in', answers: { 200: html } },
  'POST /login': { summary: 'Sign in by a form', answers: { 401: html, 429: html } },
  'POST /confirm': {
    summary: 'Say the password again, before what can’t be taken back',
    body: contract.confirmBody,
    answers: { 200: contract.confirmAnswer },
  },
  'POST /logout': { summary: 'Sign out', answers: { 200: contract.signOutAnswer } },
  'POST /now': {
    summary: 'Back up now',
    query: contract.nowQuery,
    answers: { 200: contract.backupResult, 202: contract.runAccepted },
  },
  'POST /config': {
    summary: 'Change settings',
    body: contract.configChange,
    answers: { 200: contract.config },
  },
  'GET /health': {
    summary: 'Whether the database is protected',
    answers: { 200: contract.health, 503: contract.health },
  },
  'GET /api/databases': { summary: 'All databases and how each stands', answers: { 200: contract.databasesAnswer } },
  'GET /metrics': { summary: 'Figures for Prometheus', answers: { 200: 'text/plain' } },
  'DELETE /:filename': {
    summary: 'Delete a backup everywhere, or at one place',
    query: contract.deleteQuery,
    answers: { 200: contract.deleteAnswer },
  },
  'GET /api/status': { summary: 'How it stands', answers: { 200: contract.status } },
  'GET /api/backups': { summary: 'All backups, newest first', answers: { 200: contract.backupsAnswer } },
  'GET /api/backups/:filename': { summary: 'One backup', answers: { 200: contract.backup } },
  'PATCH /api/backups/:filename': {
    summary: 'Pin a backup or note something',
    body: contract.backupChange,
    answers: { 200: contract.backup },
  },
  'GET /api/backups/:filename/download': {
    summary: 'The database file, also in parts (Range)',
    query: contract.downloadQuery,
    answers: { 200: 'application/vnd.sqlite3', 206: 'application/vnd.sqlite3' },
  },
  'POST /api/backups/:filename/verify': {
    summary: 'Check a backup',
    body: contract.verifyBody,
    answers: { 200: contract.backup },
  },
  'POST /api/backups/:filename/adopt': {
    summary: 'Take over a file that another program made',
    answers: { 200: contract.backup },
  },
  'GET /api/backups/:filename/restore': {
    summary: 'What a restore would do',
    query: contract.planQuery,
    answers: { 200: contract.restorePlan },
  },
  'POST /api/backups/:filename/restore': {
    summary: 'Restore a backup',
    body: contract.restoreBody,
    answers: { 200: contract.restoreResult },
  },
  'GET /api/restore': {
    summary: 'What a restore of the latest backup, or of that of a moment, would do',
    query: contract.pointPlanQuery,
    answers: { 200: contract.restorePlan },
  },
  'POST /api/restore': {
    summary: 'Restore the latest backup, or that of a moment',
    body: contract.pointRestoreBody,
    answers: { 200: contract.restoreResult },
  },
  'POST /api/claim': {
    summary: 'Say that the backups at a place are of this database',
    body: contract.claimBody,
    answers: { 200: contract.claimAnswer },
  },
  'POST /api/restore/undo': {
    summary: 'Undo the last restore',
    body: contract.undoBody,
    answers: { 200: contract.restoreResult },
  },
  'POST /api/restore/dismiss': {
    summary: 'Put the word of the last restore away',
    answers: { 200: contract.dismissAnswer },
  },
  'GET /api/diff': {
    summary: 'Two backups side by side, by tables and rows',
    query: contract.diffQuery,
    answers: { 200: contract.backupDiff },
  },
  'POST /api/loss/accept': {
    summary: 'A loss was meant: its alarm ends',
    body: contract.lossAnswer,
    answers: { 200: contract.backup },
  },
  'POST /api/loss/reopen': {
    summary: 'Take that answer back',
    body: contract.lossReopening,
    answers: { 200: contract.backup },
  },
  'GET /api/activity': {
    summary: 'What became of each planned run',
    query: contract.activityQuery,
    answers: { 200: contract.activity },
  },
  'GET /api/runs': { summary: 'Runs, newest first', query: contract.runsQuery, answers: { 200: contract.runsAnswer } },
  'GET /api/audit': { summary: 'Who did what', query: contract.auditQuery, answers: { 200: contract.auditAnswer } },
  'POST /api/runs/stop': { summary: 'Stop the run that is going', answers: { 200: contract.stopAnswer } },
  'POST /api/targets/:name/test': { summary: 'Test a target', answers: { 200: contract.targetReport } },
  'POST /api/drill': {
    summary: 'Rehearse a restore from one target, or from each',
    body: contract.drillBody,
    answers: { 200: contract.drillReport },
  },
  'GET /api/doctor': { summary: 'What is wrong with the way all is set up', answers: { 200: contract.doctorReport } },
  'GET /api/config': { summary: 'The settings', answers: { 200: contract.config } },
  'GET /api/prune': {
    summary: 'What retention would remove, and why',
    query: contract.pruneQuery,
    answers: { 200: contract.prunePlan },
  },
  'GET /api/session': { summary: 'Who is signed in', answers: { 200: contract.session } },
  'GET /api/events': { summary: 'What happens, as server-sent events', answers: { 200: 'text/event-stream' } },
  'GET /api/openapi.json': { summary: 'This document', answers: { 200: z.looseObject({}) } },
};

export interface OpenApi {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly version: string };
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, unknown>>;
    readonly securitySchemes: Readonly<Record<string, unknown>>;
  };
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
}

export interface Operation {
  readonly summary: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content: Content }>>;
}

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query';
  readonly required: boolean;
  readonly schema: unknown;
}

type Content = Readonly<Record<string, { readonly schema?: unknown }>>;

export function openApi(routes: readonly Pick<Route, 'method' | 'path' | 'fallback'>[]): OpenApi {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const { method, path, fallback } of routes) {
    if (fallback) continue;
    const address = path.replaceAll(/:(\w+)/g, '{$1}');
    paths[address] = { ...paths[address], [method.toLowerCase()]: operation(method, path) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'velist-backup', version: VERSION },
    servers: [{ url: '..' }],
    paths,
    components: {
      schemas: { Error: toSchema(contract.errorAnswer) },
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer' },
        session: { type: 'apiKey', in: 'cookie', name: 'velist-backup' },
      },
    },
    security: [{ token: [] }, { session: [] }, {}],
  };
}

function operation(method: string, path: string): Operation {
  const route = described[`${method} ${path.replace(/^\/db\/:database/, '')}`];
  if (!route) throw new Error(`${method} ${path} is not described`);
  const parameters = [...pathParameters(path), ...(route.query ? queryParameters(route.query) : [])];
  return {
    summary: route.summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body
      ? {
          requestBody: {
            required: !route.body.safeParse(undefined).success,
            content: { 'application/json': { schema: toSchema(route.body, 'input') } },
          },
        }
      : {}),
    responses: {
      ...Object.fromEntries(
        Object.entries(route.answers).map(([status, answer]) => [
          status,
          {
            description: status.startsWith('2') ? 'Done' : 'Not done',
            content:
              typeof answer === 'string' ? { [answer]: {} } : { 'application/json': { schema: toSchema(answer) } },
          },
        ]),
      ),
      default: {
        description: 'What went wrong. Long work may answer 200 and have the error in the body.',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
  };
}

function pathParameters(path: string): readonly Parameter[] {
  return [...path.matchAll(/:(\w+)/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    schema:
      name === 'filename'
        ? { type: 'string', pattern: contract.backupName.source }
        : name === 'database'
          ? { type: 'string', pattern: contract.databaseName.source }
          : toSchema(contract.targetName),
  }));
}

function queryParameters(query: z.ZodObject): readonly Parameter[] {
  return Object.entries(query.shape).map(([name, schema]) => ({
    name,
    in: 'query',
    required: !(schema as z.ZodType).safeParse(undefined).success,
    schema: toSchema(schema as z.ZodType, 'input'), // a shape holds schemas
  }));
}

function toSchema(schema: z.ZodType, io: 'input' | 'output' = 'output'): unknown {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io });
  return rest;
}
