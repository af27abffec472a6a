/** A backup that lost much raises an alarm; here it is answered, and the answer taken back. */
import { z } from 'zod';
import { backup, backupName } from '../contract.ts';
import { route } from '../route.ts';

const filename = z.string().regex(backupName, 'the name of a backup');
/** Retention removes then what is held now. */
const right = 'delete';

export const lossRoutes = [
  route({
    method: 'POST',
    path: '/api/loss/accept',
    summary: 'A loss was meant: its alarm ends',
    right,
    isSlow: true,
    changesBackups: true,
    /** `ignore`: the tables are emptied regularly and raise no alarm again. */
    body: z.strictObject({ filename, ignore: z.boolean().default(false) }),
    answers: { 200: backup },
    handle: ({ service, body, user }) => service.acceptLoss({ ...body, user }),
  }),
  route({
    method: 'POST',
    path: '/api/loss/reopen',
    summary: 'Take that answer back',
    right,
    isSlow: true,
    changesBackups: true,
    body: z.strictObject({ filename }),
    answers: { 200: backup },
    handle: ({ service, body }) => service.reopenLoss(body.filename),
  }),
];
