/** Rows brought back from a backup or a moment while the app goes on: the plan, the rescue, its undoing. */
import { BackupError } from '../../words/errors.ts';
import { isBookmark } from '../../words/restore-point.ts';
import { backupName, rescueBody, rescuedAnswer, rescueGoBody, rescuePlan, rescues, rescueUndone } from '../contract.ts';
import { always, route } from '../route.ts';

const aRescue = { method: 'POST', right: 'restore', costs: 'restore', isLong: always } as const;

export const rescueRoutes = [
  route({
    method: 'POST',
    path: '/api/rescue/plan',
    summary: 'What a rescue of rows would do',
    right: 'look',
    costs: 'plan',
    isLong: always,
    body: rescueBody,
    answers: { 200: rescuePlan },
    handle: ({ service, body }) => service.planRescue(ofBackups(body)),
  }),
  route({
    ...aRescue,
    path: '/api/rescue',
    summary: 'Bring rows back from a backup or a moment',
    body: rescueGoBody,
    answers: { 200: rescuedAnswer },
    handle: async ({ service, body: { expected, ...asked }, user }) => ({
      rescue: await service.rescue(ofBackups(asked), { expected, user }),
    }),
  }),
  route({
    method: 'GET',
    path: '/api/rescues',
    summary: 'The rescues of the last 30 days',
    right: 'read',
    isLong: always,
    answers: { 200: rescues },
    handle: async ({ service }) => ({ rescues: [...(await service.rescues())] }),
  }),
  route({
    ...aRescue,
    path: '/api/rescues/:rescue/undo',
    summary: 'Take a rescue back',
    answers: { 200: rescueUndone },
    handle: ({ service, params, user }) => service.undoRescue(params.rescue, { user }),
  }),
];

/** The service takes the path of any file; who asks over HTTP may name backups and moments alone. */
function ofBackups<Asked extends { readonly of: string; readonly since?: string | undefined }>(asked: Asked): Asked {
  for (const name of [asked.of, asked.since ?? asked.of]) {
    if (backupName.test(name) || isBookmark(name)) continue;
    throw new BackupError('BAD_NAME', `${JSON.stringify(name)} is not the name of a backup or a moment`, {
      hint: 'Use a name as the list of backups gives it, or a bookmark.',
    });
  }
  return asked;
}
