/** The audit record in words, for the command line. */
import type { AuditAct, AuditEntry } from './model.ts';

export const auditWords: Readonly<Record<AuditAct, string>> = {
  'sign-in': 'signed in',
  'sign-out': 'signed out',
  'confirm-password': 'gave the password again',
  request: 'asked',
  download: 'downloaded',
  delete: 'deleted',
  retention: 'removed by retention',
  prune: 'pruned',
  restore: 'restored',
  'restore-if-missing': 'restored what was missing',
  undo: 'undid the restore',
  settings: 'changed settings',
  pin: 'pinned',
  unpin: 'unpinned',
  note: 'noted',
  adopt: 'adopted',
  claim: 'claimed',
  'accept-loss': 'accepted the loss',
  'reopen-loss': 'reopened the loss',
  stop: 'stopped the run',
};

/** `page 192.0.2.7`, `cli` */
export function whereText({ via, address }: Pick<AuditEntry, 'via' | 'address'>): string {
  return address === null ? via : `${via} ${address}`;
}
