/** Backups: the list, one of them, two side by side, and what is done to one. */
import { z } from 'zod';
import { NOTE_LETTERS_MAX } from '../../words/note.ts';
import { authorizeRetention } from '../access/rights.ts';
import { allowPlain, backup, backupDiff, backupName, backupsAnswer, deleteAnswer, targetName } from '../contract.ts';
import { always, route } from '../route.ts';
import { sendBackup } from '../send-backup.ts';

const nameOrLatest = z.union([z.string().regex(backupName, 'the name of a backup, or latest'), z.literal('latest')]);

/** The service bounds it, whoever writes it. */
const note = z.string().meta({ maxLength: NOTE_LETTERS_MAX });

export const backupRoutes = [
  route({
    method: 'GET',
    path: '/api/backups',
    summary: 'All backups, newest first',
    right: 'read',
    answers: { 200: backupsAnswer },
    handle: async ({ service }) => ({ backups: await service.getBackups() }),
  }),
  route({
    method: 'GET',
    path: '/api/backups/:filename',
    summary: 'One backup',
    right: 'read',
    answers: { 200: backup },
    handle: ({ service, params }) => service.getBackup(params.filename),
  }),
  route({
    method: 'PATCH',
    path: '/api/backups/:filename',
    summary: 'Pin a backup or note something',
    right: 'change',
    isSlow: true,
    changesBackups: true,
    body: z.strictObject({ pinned: z.boolean().optional(), note: note.nullable().optional() }),
    answers: { 200: backup },
    async handle({ service, params, body, authorize }) {
      // What is not pinned any more is for retention to remove.
      if (body.pinned === false) await authorizeRetention(authorize);
      return await service.updateBackup(params.filename, body);
    },
  }),
  route({
    method: 'GET',
    path: '/api/backups/:filename/download',
    summary: 'The database file, also in parts (Range)',
    right: 'download',
    costs: 'download',
    isSlow: true,
    query: z.object({ allowPlain }),
    answers: { 200: 'application/vnd.sqlite3', 206: 'application/vnd.sqlite3' },
    async handle({ request, service, params: { filename }, query }) {
      const opened = await service.openBackup(filename, { allowPlain: query.allowPlain !== undefined });
      return await sendBackup(request, filename, opened);
    },
  }),
  route({
    method: 'POST',
    path: '/api/backups/:filename/verify',
    summary: 'Check a backup',
    right: 'verify',
    costs: 'verify',
    isLong: always,
    changesBackups: true,
    // Which copy: the one in the folder by default, if there is one.
    body: z
      .strictObject({
        ...{ full: z.boolean().default(false), allowPlain: z.boolean().optional(), from: targetName.optional() },
      })
      .optional(),
    answers: { 200: backup },
    handle: ({ service, params, body, user }) => service.verifyBackup(params.filename, { full: false, ...body, user }),
  }),
  route({
    method: 'POST',
    path: '/api/backups/:filename/adopt',
    summary: 'Take over a file that another program made',
    right: 'change',
    costs: 'verify',
    isLong: always,
    changesBackups: true,
    answers: { 200: backup },
    handle: ({ service, params }) => service.adoptBackup(params.filename),
  }),
  route({
    method: 'DELETE',
    path: '/:filename',
    summary: 'Delete a backup everywhere, or at one place',
    right: 'delete',
    isSlow: true,
    changesBackups: true,
    query: z.object({ target: targetName.optional() }),
    answers: { 200: deleteAnswer },
    async handle({ service, params: { filename }, query, user }) {
      await service.deleteBackup(filename, { target: query.target, user });
      return { deleted: filename };
    },
  }),
  route({
    method: 'GET',
    path: '/api/diff',
    summary: 'Two backups side by side, by tables and rows',
    right: 'read',
    query: z.strictObject({ a: nameOrLatest, b: nameOrLatest }),
    answers: { 200: backupDiff },
    handle: ({ service, query }) => service.diff(query.a, query.b),
  }),
];
