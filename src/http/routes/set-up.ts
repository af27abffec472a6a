/** A bucket, a second folder, a webhook and a heartbeat, set up from the page: tested, kept, taken away. */
import { z } from 'zod';
import type { SetUpPart } from '../../service/set-up/shown-set-up.ts';
import { authorizePlace } from '../access/rights.ts';
import { plannedSetUp, s3Place, setUp, shownSetUp, targetReport } from '../contract.ts';
import { lineStream } from '../line-stream.ts';
import { always, route } from '../route.ts';

const isPlace = (part: string): boolean => part === 's3' || part === 'folder';

export const setUpRoutes = [
  route({
    method: 'GET',
    path: '/api/set-up',
    summary: 'What is set up, by the environment or the page',
    right: 'configure',
    answers: { 200: shownSetUp },
    handle: ({ service }) => service.setUp.show(),
  }),
  route({
    method: 'POST',
    path: '/api/set-up/plan',
    summary: 'What a bucket would come to, before it is asked',
    right: 'configure',
    costs: 'plan',
    body: s3Place,
    wrongBody: 'BAD_CONFIG',
    answers: { 200: plannedSetUp },
    handle: ({ service, body }) => service.setUp.plan(body),
  }),
  route({
    method: 'POST',
    path: '/api/set-up/test',
    summary: 'Try what is about to be set up: a line of JSON for each finding, then the report or an error',
    right: 'configure',
    costs: 'test',
    body: setUp,
    wrongBody: 'BAD_CONFIG',
    answers: { 200: 'application/x-ndjson' },
    handle: ({ service, body, site, request }) =>
      lineStream(
        async (tell, signal) => {
          const onFinding = (finding: object) => tell({ finding });
          return { report: await service.setUp.test(body, { signal, onFinding }) };
        },
        { pingMs: site.pingMs, onError: (error) => site.onError(error, request) },
      ),
  }),
  route({
    method: 'POST',
    path: '/api/set-up',
    summary: 'Try it, and keep it if all that is needed works',
    right: 'configure',
    costs: 'test',
    isLong: always,
    body: setUp,
    wrongBody: 'BAD_CONFIG',
    // `ok` says whether it was kept.
    answers: { 200: targetReport },
    async handle({ service, body, ...asked }) {
      if (isPlace(body.part)) await authorizePlace(asked);
      return await service.setUp.save(body);
    },
  }),
  route({
    method: 'DELETE',
    path: '/api/set-up/:part',
    summary: 'Take away what was set up on the page; what is stored there stays',
    right: 'configure',
    isLong: always,
    answers: { 200: z.object({ success: z.literal(true) }) },
    async handle({ service, params, ...asked }) {
      const part = params.part as SetUpPart; // as `parameters.ts` checks it
      if (isPlace(part)) await authorizePlace(asked);
      await service.setUp.remove(part);
      return { success: true } as const;
    },
  }),
];
