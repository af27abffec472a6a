/** What the run log calls a run, and the audit record an act. */
import type { AuditAnswer, Run } from '../../http/contract.ts';

export const kindWords: Record<Run['kind'], string> = {
  backup: 'Backup',
  verify: 'Verify',
  restore: 'Restore',
  undo: 'Undo restore',
  upload: 'Upload',
  drill: 'Drill',
  rescue: 'Rescue',
  'undo-rescue': 'Undo rescue',
};

/** With a result behind them: “Sign-in refused”. */
export const actWords: Record<AuditAnswer['entries'][number]['act'], string> = {
  'sign-in': 'Sign-in',
  'sign-out': 'Sign-out',
  'confirm-password': 'Password again',
  request: 'Request',
  download: 'Download',
  delete: 'Deletion',
  retention: 'Removal by retention',
  prune: 'Clean-up by hand',
  restore: 'Restore',
  'restore-if-missing': 'Restore of the missing database',
  undo: 'Undo of a restore',
  rescue: 'Rescue of rows',
  'undo-rescue': 'Undo of a rescue',
  settings: 'Settings',
  pin: 'Pin',
  unpin: 'Unpin',
  note: 'Note',
  adopt: 'Adoption of a file',
  claim: 'Claim of the backups',
  'accept-loss': 'Acceptance of a loss',
  mark: 'Mark',
  pause: 'Pause of continuous backup',
  resume: 'Resuming of continuous backup',
  'reopen-loss': 'Loss opened again',
  stop: 'Stop of a run',
};
