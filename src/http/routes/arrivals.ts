/** A file from elsewhere: sent in pieces, checked, then adopted or discarded. Nothing becomes a backup without that last step. */
import { z } from 'zod';
import { arrival, backup, begunArrival, newArrival, PIECE_BYTES_MAX, pieceOfFile } from '../contract.ts';
import { always, route } from '../route.ts';

export const arrivalRoutes = [
  route({
    method: 'POST',
    path: '/api/arrivals',
    summary: 'Begin to upload a database file from elsewhere',
    right: 'change',
    costs: 'arrival',
    body: newArrival,
    answers: { 200: begunArrival },
    async handle({ service, body: { modifiedAt, ...file } }) {
      const at = modifiedAt === undefined ? {} : { modifiedAt: new Date(modifiedAt) };
      const { id } = await service.arrivals.begin({ ...file, ...at });
      return { id, pieceBytesMax: PIECE_BYTES_MAX };
    },
  }),
  route({
    method: 'PATCH',
    path: '/api/arrivals/:arrival',
    summary: 'Send a piece of it, from its beginning on; one may be sent again',
    right: 'change',
    isSlow: true,
    query: z.strictObject({ at: z.string().regex(/^\d{1,15}$/, 'the number of bytes before it') }),
    body: pieceOfFile,
    bytesMax: PIECE_BYTES_MAX,
    answers: { 200: z.object({ receivedBytes: z.number() }) },
    handle: ({ service, params, query, body }) => service.arrivals.append(params.arrival, Number(query.at), body),
  }),
  route({
    method: 'POST',
    path: '/api/arrivals/:arrival/check',
    summary: 'Check it, and say what it holds and how it differs from the newest backup',
    right: 'change',
    costs: 'verify',
    isLong: always,
    answers: { 200: arrival },
    async handle({ service, params, authorize }) {
      await authorize('read');
      return await service.arrivals.check(params.arrival);
    },
  }),
  route({
    method: 'POST',
    path: '/api/arrivals/:arrival/adopt',
    summary: 'Make a pinned backup of it',
    right: 'change',
    costs: 'verify',
    isLong: always,
    changesBackups: true,
    answers: { 200: backup },
    handle: ({ service, params, user }) => service.arrivals.adopt(params.arrival, user === undefined ? {} : { user }),
  }),
  route({
    method: 'DELETE',
    path: '/api/arrivals/:arrival',
    summary: 'Discard it, whole or not',
    right: 'change',
    answers: { 200: z.object({ success: z.literal(true) }) },
    async handle({ service, params }) {
      await service.arrivals.discard(params.arrival);
      return { success: true } as const;
    },
  }),
];
