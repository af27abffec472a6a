/** What is done with one backup from its menu and its dialogs, and the messages that say so; fetched with those. */
import type { Backup } from '../../http/contract.ts';
import { api, askPassword, type Target } from '../api.ts';
import type { Outcome } from '../text/outcomes.ts';
import { copyWords } from '../text/targets.ts';
import { acts, without } from './acts.svelte.ts';
import { dashboard } from './dashboard.svelte.ts';
import { toasts } from './toasts.svelte.ts';

/** The time to take back a deletion. */
export const undoMs = 8000;

export async function adopt(backup: Backup): Promise<void> {
  await acts.work(backup, async () => {
    const adopted = await dashboard.attempt('The file was not adopted', () => api.adopt(backup.filename));
    if (adopted !== undefined) toasts.show(adoptedText(backup));
  });
}

export async function pin(backup: Backup, change: { pinned: boolean; note?: string | null }): Promise<boolean> {
  const refusal = change.pinned ? 'The backup was not pinned' : 'The backup was not unpinned';
  return (await dashboard.attempt(refusal, () => api.change(backup.filename, change))) !== undefined;
}

/**
 * Deletes after 8 seconds in which it can be taken back; leaving the page takes it back too. The password is asked for
 * before them, not after.
 *
 * @param targets none: everywhere.
 */
export async function removeSoon(backup: Backup, targets: readonly Target[]): Promise<void> {
  const { filename } = backup;
  const session = await dashboard.attempt('The backup was not deleted', () => api.session());
  if (session === undefined || (session.needsPassword && !(await askPassword.ask()))) return;
  acts.leaving = new Set([...acts.leaving, filename]);
  const stay = () => {
    acts.leaving = without(acts.leaving, filename);
  };
  const timer = setTimeout(() => void remove(backup, targets).finally(stay), undoMs);
  const undo = () => {
    clearTimeout(timer);
    dismiss();
    stay();
  };
  const dismiss = toasts.show(
    { ...leavingText(backup, targets, undoMs), button: { label: 'Undo', press: undo } },
    undoMs,
  );
}

export async function remove(backup: Backup, targets: readonly Target[]): Promise<void> {
  for (const target of targets.length === 0 ? [undefined] : targets) {
    const answer = await dashboard.attempt('The backup was not deleted', () => api.remove(backup.filename, target));
    if (answer === undefined) return;
  }
  dashboard.announcement = 'Backup deleted';
}

function adoptedText({ filename: code }: Backup): Outcome {
  return { tone: 'good', title: 'Adopted', lines: ['It now counts as a backup like the others.'], code };
}

function leavingText({ filename: code }: Backup, targets: readonly string[], ms: number): Outcome {
  return {
    tone: 'plain',
    title: `Deleting the ${targets.length === 0 ? 'backup' : copyWords(targets)}`,
    lines: [`In ${ms / 1000} seconds. Leaving this page keeps it.`],
    code,
  };
}
