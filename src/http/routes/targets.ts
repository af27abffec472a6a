/** Targets, and the folder as one of them: a test, a rehearsal, what retention would remove, whose the place is. */
import { z } from 'zod';
import { claimAnswer, drillReport, prunePlan, targetName, targetReport } from '../contract.ts';
import { always, route } from '../route.ts';

export const targetRoutes = [
  route({
    method: 'POST',
    path: '/api/targets/:name/test',
    summary: 'Test a target',
    right: 'configure',
    costs: 'test',
    isLong: always,
    answers: { 200: targetReport },
    handle: ({ service, params }) => service.testTarget(params.name),
  }),
  route({
    method: 'POST',
    path: '/api/drill',
    summary: 'Rehearse a restore from one target, from each, or of a captured moment',
    right: 'verify',
    costs: 'drill',
    isLong: always,
    changesBackups: true,
    body: z
      .strictObject({
        ...{ target: targetName.optional(), allowPlain: z.boolean().optional() },
        /** A captured moment alone: a time, a bookmark or a mark. */
        at: z.string().max(255).optional(),
        /** Backups to pass over, as one whose drill failed. */
        without: z.array(z.string().max(255)).max(100).optional(),
      })
      .optional(),
    answers: { 200: drillReport },
    handle: ({ service, body, user }) => service.drill({ ...body, user }),
  }),
  route({
    method: 'GET',
    path: '/api/prune',
    summary: 'What retention would remove, and why',
    right: 'read',
    costs: 'plan',
    isLong: always,
    // The plan of S3 is made from a new listing.
    query: z.object({ target: targetName.default('local') }),
    answers: { 200: prunePlan },
    handle: ({ service, query: { target } }) => service.prune({ dryRun: true, target }),
  }),
  route({
    method: 'POST',
    path: '/api/claim',
    summary: 'Say that the backups at a place are of this database',
    right: 'configure',
    isLong: always,
    changesBackups: true,
    // The folder by default.
    body: z.strictObject({ target: targetName.optional() }).optional(),
    answers: { 200: claimAnswer },
    handle: ({ service, body, user }) => service.claim({ target: body?.target, user }),
  }),
];
