/** Why something can't be done now, said where its button is disabled; undefined if it can. */
import type { Backup } from '../../http/contract.ts';
import { dashboard } from './dashboard.svelte.ts';

export function changeObstacle(): string | undefined {
  if (!dashboard.online) return 'No contact with the server';
  return dashboard.isRestoring ? 'Wait until the restore has ended' : undefined;
}

export function restoreObstacle(backup: Backup): string | undefined {
  return backup.verification.state === 'damaged' ? 'A damaged backup is not restored' : changeObstacle();
}
