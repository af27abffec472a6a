/** Runs: starting one, stopping it, the list of those that ended. */
import { z } from 'zod';
import { json, statusOf } from '../answers.ts';
import {
  type BackupResult,
  backupResult,
  type RunAccepted,
  run,
  runAccepted,
  runsAnswer,
  stopAnswer,
} from '../contract.ts';
import { always, route } from '../route.ts';
import { serialize } from '../serialize.ts';

export const runRoutes = [
  route({
    method: 'POST',
    path: '/now',
    summary: 'Back up now',
    right: 'backup',
    costs: 'backup',
    query: z.object({ wait: z.enum(['true', 'false']).default('true') }),
    isLong: ({ wait }) => wait === 'true',
    answers: { 200: backupResult, 202: runAccepted },
    async handle({ service, query, user }) {
      if (query.wait === 'false') return json<RunAccepted>(await service.requestBackup(user), 202);
      const result = serialize(await service.performBackup(user));
      return json<BackupResult>(result, result.error ? statusOf(result.error.code) : 200);
    },
  }),
  route({
    method: 'GET',
    path: '/api/runs',
    summary: 'Runs, newest first',
    right: 'read',
    query: z.object({
      limit: z.coerce.number().int().min(1).max(1_000).default(100),
      kind: run.shape.kind.optional(),
      result: run.shape.result.optional(),
    }),
    answers: { 200: runsAnswer },
    handle: ({ service, query }) => ({ runs: service.getRuns(query) }),
  }),
  route({
    method: 'POST',
    path: '/api/runs/stop',
    summary: 'Stop the run that is going',
    right: 'backup',
    isLong: always,
    answers: { 200: stopAnswer },
    handle: async ({ service }) => ({ stopped: await service.stopRun() }),
  }),
];
