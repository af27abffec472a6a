/** Sessions, and the record of who did what. */
import { z } from 'zod';
import { errorCodes } from '../../words/errors.ts';
import { time, targetName } from './common.ts';

/** Says whom the server takes the asker for, and whether `POST /logout` would change that. */
export const session = z.object({
  user: z.string().nullable(),
  canSignOut: z.boolean(),
  /** What can't be taken back wants the password first (`POST /confirm`). */
  needsPassword: z.boolean(),
});

/** `POST /confirm`: the password once more. */
const wanted = 'is wanted, as text';
export const confirmBody = z.strictObject({ password: z.string(wanted).max(1_024, wanted) });
export const confirmAnswer = z.object({ confirmed: z.boolean() });

/** One row of the audit record. */
export const auditEntry = z.object({
  at: time,
  /** Its name among several; null if there is one, and for what was done to all, such as signing in. */
  database: z.string().nullable(),
  act: z.enum([
    'sign-in',
    'sign-out',
    'confirm-password',
    'request',
    'download',
    'delete',
    'retention',
    'prune',
    'restore',
    'restore-if-missing',
    'undo',
    'rescue',
    'undo-rescue',
    'settings',
    'pin',
    'unpin',
    'note',
    'adopt',
    'claim',
    'accept-loss',
    'mark',
    'pause',
    'resume',
    'reopen-loss',
    'stop',
  ]),
  user: z.string().nullable(),
  /** `service`: nobody asked. */
  via: z.enum(['page', 'api', 'cli', 'library', 'service']),
  address: z.string().nullable(),
  agent: z.string().nullable(),
  /** A backup, settings, the route that was refused. */
  subject: z.string().nullable(),
  target: targetName.nullable(),
  result: z.enum(['done', 'failed', 'stopped', 'refused']),
  code: z.enum(errorCodes).nullable(),
  detail: z.string().nullable(),
});

export const auditAnswer = z.object({ entries: z.array(auditEntry) });

/** `POST /logout`; false when there was no session. */
export const signOutAnswer = z.object({ signedOut: z.boolean() });

export type AuditAnswer = z.infer<typeof auditAnswer>;
export type ConfirmAnswer = z.infer<typeof confirmAnswer>;
export type Session = z.infer<typeof session>;
export type SignOutAnswer = z.infer<typeof signOutAnswer>;
