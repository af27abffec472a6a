/** What lies over the page: at most one dialog, and whether the configuration is open in it. */
import type { Backup } from '../../../../http/contract.ts';
import type { Target } from '../api.ts';

export type Dialog =
  | {
      readonly kind: 'restore';
      readonly filename: string;
      readonly isUndo: boolean;
    }
  | { readonly kind: 'delete'; readonly backup: Backup }
  | { readonly kind: 'pin'; readonly backup: Backup }
  | { readonly kind: 'details'; readonly filename: string }
  | { readonly kind: 'keys' };

class Dialogs {
  open = $state.raw<Dialog | null>(null);
  configuration = $state(false);
  /** The open configuration shall test the connection to that one. */
  connectionTest = $state<Target | null>(null);
  tab = $state<'history' | 'log' | 'checkup'>('history');
  /** The run that is unfolded in the run log. */
  run = $state<string | null>(null);
  /** The run that shall be brought into view as soon as the run log shows it. */
  soughtRun = $state<string | null>(null);

  close(): void {
    this.open = null;
  }

  testConnection(target: Target): void {
    this.configuration = true;
    this.connectionTest = target;
  }

  showRun(id: string): void {
    this.tab = 'log';
    this.run = id;
    this.soughtRun = id;
  }
}

export const dialogs = new Dialogs();
