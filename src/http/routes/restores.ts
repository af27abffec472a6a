/** Restores: what one would do, doing it, undoing it. Whatever replaces the database wants its name as confirmation. */
import { basename } from 'node:path';
import { BackupError } from '../../words/errors.ts';
import type { RestorePointGiven } from '../../words/restore-point.ts';
import type { BackupServicePort } from '../../service/service-port.ts';
import {
  dismissAnswer,
  planQuery,
  pointPlanQuery,
  pointRestoreBody,
  restoreBody,
  restorePlan,
  restoreResult,
  undoBody,
} from '../contract.ts';
import { always, route } from '../route.ts';

const aPlan = { method: 'GET', right: 'read', costs: 'plan', isLong: always, answers: { 200: restorePlan } } as const;
const aRestore = {
  ...({ method: 'POST', right: 'restore', costs: 'restore' } as const),
  ...{ isLong: always, answers: { 200: restoreResult } },
};

export const restoreRoutes = [
  route({
    ...aPlan,
    path: '/api/backups/:filename/restore',
    summary: 'What a restore would do',
    query: planQuery,
    handle: ({ service, params, query: { mode, allowPlain } }) =>
      service.planRestore(params.filename, { mode, allowPlain: allowPlain !== undefined }),
  }),
  route({
    ...aRestore,
    path: '/api/backups/:filename/restore',
    summary: 'Restore a backup',
    body: restoreBody,
    handle({ service, params, body: { confirm, ...options }, user }) {
      if (options.mode !== 'missing') requireConfirmed(service, confirm);
      return service.restore(params.filename, { ...options, user });
    },
  }),
  route({
    ...aPlan,
    path: '/api/restore',
    summary: 'What a restore of the latest backup, or of that of a moment, would do',
    query: pointPlanQuery,
    handle: ({ service, query: { mode, allowPlain, from, ...named } }) =>
      service.planRestore(pointOf(named), { mode, from, allowPlain: allowPlain !== undefined }),
  }),
  route({
    ...aRestore,
    path: '/api/restore',
    summary: 'Restore the latest backup, or that of a moment',
    body: pointRestoreBody,
    handle({ service, body: { confirm, backup, at, latest: _, ...options }, user }) {
      if (options.mode !== 'missing') requireConfirmed(service, confirm);
      return service.restore(pointOf({ backup, at }), { ...options, user });
    },
  }),
  route({
    ...aRestore,
    path: '/api/restore/undo',
    summary: 'Undo the last restore',
    body: undoBody,
    handle({ service, body: { confirm, mode }, user }) {
      requireConfirmed(service, confirm);
      return service.undoRestore({ mode, user });
    },
  }),
  route({
    method: 'POST',
    path: '/api/restore/dismiss',
    summary: 'Put the word of the last restore away',
    right: 'change',
    answers: { 200: dismissAnswer },
    handle: ({ service }) => ({ dismissed: service.dismissRestore() }),
  }),
];

/** Exactly one of these is there: the schema has seen to that. */
function pointOf({ backup, at }: { readonly backup?: string; readonly at?: string }): RestorePointGiven {
  if (backup !== undefined) return { backup };
  return at === undefined ? { latest: true } : { at };
}

function requireConfirmed(service: BackupServicePort, confirm: string | undefined): void {
  const name = basename(service.getConfig().databasePath);
  if (confirm === name) return;
  throw new BackupError('CONFIRM_MISMATCH', `the confirmation must be the database's file name, ${name}`, {
    hint: `Send "confirm": "${name}" when you are sure to replace it.`,
  });
}
