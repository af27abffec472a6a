/**
 * What this page asks the server to do, and how it went. What holds then comes over the stream; a failure says why, and
 * what was asked for shows as being worked on meanwhile.
 */
import type { Backup } from '../../http/contract.ts';
import { api, type Target } from '../api.ts';
import { checkedAllText, checkedText, drillText, nothingStoppedText } from '../text/outcomes.ts';
import { dashboard } from './dashboard.svelte.ts';
import { toasts } from './toasts.svelte.ts';

class Acts {
  /** A backup was asked for, and the server has not answered yet. */
  asking = $state(false);
  /** A drill that this page asked for goes on. */
  drilling = $state(false);
  /** Backups being verified or adopted on request of this page. */
  working = $state.raw<ReadonlySet<string>>(new Set());
  /** Backups whose deletion waits for its 8 seconds. */
  leaving = $state.raw<ReadonlySet<string>>(new Set());

  readonly isBusy = $derived(this.asking || dashboard.run !== null);

  async backupNow(): Promise<void> {
    if (this.isBusy) return;
    this.asking = true;
    try {
      const answer = await api.backupNow();
      if ('runId' in answer) dashboard.expectRun(answer.runId);
      dashboard.announcement = 'Backup started';
      dashboard.refresh();
    } catch (error) {
      dashboard.refused('The backup did not start', error);
    } finally {
      this.asking = false;
    }
  }

  async stopRun(): Promise<void> {
    const answer = await dashboard.attempt('The run was not stopped', () => api.stopRun());
    if (answer?.stopped === false) toasts.show(nothingStoppedText);
  }

  /** Rehearses a restore, from each place if none is named; how it went is in the check-up and in the run log. */
  async drill(asked?: Parameters<typeof api.drill>[0]): Promise<void> {
    this.drilling = true;
    const answer = await dashboard.attempt('The restore was not rehearsed', () => api.drill(asked));
    this.drilling = false;
    for (const drill of answer?.drills ?? []) toasts.show(drillText(drill));
  }

  async turnOn(): Promise<void> {
    const saved = await dashboard.attempt('Auto-backup was not turned on', () => api.saveConfig({ enabled: true }));
    if (saved !== undefined) toasts.show({ tone: 'good', title: 'Auto-backup is on', lines: [] });
  }

  /** @param from which copy; left out: the one in the folder, if there is one. */
  async verify(backup: Backup, full: boolean, from?: Target): Promise<void> {
    await this.work(backup, async () => {
      const checked = await dashboard.attempt('The check could not be made', () =>
        api.verify(backup.filename, { full, ...(from && { from }) }),
      );
      const text = checked && checkedText(checked);
      if (text) toasts.show(text);
    });
  }

  /** One after the other; what is found damaged says so at once. */
  async verifyAll(): Promise<void> {
    const found = { verified: 0, damaged: 0, unknown: 0 };
    const all = dashboard.own.filter(({ placements }) => placements.some(({ target }) => target === 'local'));
    this.working = new Set([...this.working, ...all.map(({ filename }) => filename)]);
    for (const { filename } of all) {
      const checked = await api.verify(filename, { full: false }).catch(() => null);
      found[checked === null || checked.verification.state === 'unchecked' ? 'unknown' : checked.verification.state]++;
      this.working = without(this.working, filename);
    }
    toasts.show(checkedAllText(found));
    dashboard.refresh();
  }

  async dismissRestored(): Promise<void> {
    await dashboard.attempt('The message was not dismissed', () => api.dismissRestored());
  }

  /** What is done with a backup shows in its row. */
  async work({ filename }: Backup, act: () => Promise<void>): Promise<void> {
    this.working = new Set([...this.working, filename]);
    await act().finally(() => {
      this.working = without(this.working, filename);
    });
  }
}

export function without(names: ReadonlySet<string>, name: string): ReadonlySet<string> {
  return new Set([...names].filter((other) => other !== name));
}

export const acts = new Acts();
