/** What lies over the page: at most one dialog, and whether the configuration is open in it. */
import type { Backup, SetUp } from '../../http/contract.ts';
import type { Target } from '../api.ts';
import { dashboard } from './dashboard.svelte.ts';

type Dialog =
  | {
      readonly kind: 'restore';
      readonly filename: string;
      readonly isUndo: boolean;
    }
  /** To where there is no file. */
  | { readonly kind: 'bring-back'; readonly filename: string }
  /** Two backups by their counts, the older one first. */
  | { readonly kind: 'compare'; readonly a: string; readonly b: string }
  | { readonly kind: 'accept-loss' }
  | { readonly kind: 'claim'; readonly target: Target }
  | { readonly kind: 'delete'; readonly backup: Backup }
  | { readonly kind: 'pin'; readonly backup: Backup }
  | { readonly kind: 'details'; readonly filename: string }
  /** A file from elsewhere comes in. */
  | { readonly kind: 'upload' }
  | { readonly kind: 'keys' };

class Dialogs {
  open = $state.raw<Dialog | null>(null);
  configuration = $state(false);
  /** What is being set up; a webhook and a heartbeat stand in the configuration. */
  setUp = $state<SetUp['part'] | null>(null);
  /** The open configuration shall test the connection to that one. */
  connectionTest = $state<Target | null>(null);
  tab = $state<'history' | 'log' | 'checkup'>('history');
  /** What is searched for in the history. */
  wanted = $state('');
  /** The run that is unfolded in the run log. */
  run = $state<string | null>(null);
  /** The run that shall be brought into view as soon as the run log shows it. */
  soughtRun = $state<string | null>(null);

  close(): void {
    this.open = null;
  }

  /** Over the database, or to where it was. */
  restore(filename: string): void {
    const isMissing = dashboard.status?.database.exists === false;
    this.open = isMissing ? { kind: 'bring-back', filename } : { kind: 'restore', filename, isUndo: false };
  }

  /** With the one before it; nothing happens where there is none. */
  compareWithBefore({ filename, changes, other }: Backup): void {
    const siblings = dashboard.backups.filter((one) => one.other?.name === other?.name);
    const before = changes?.since ?? siblings[siblings.findIndex((one) => one.filename === filename) + 1]?.filename;
    if (before !== undefined) this.open = { kind: 'compare', a: before, b: filename };
  }

  testConnection(target: Target): void {
    this.configuration = true;
    this.connectionTest = target;
  }

  /** `#set-up-s3` opens the set-up of S3, and a link of the overview what helps, wherever it stands; each once. */
  followHash(): void {
    const { status } = dashboard;
    const [hash, part] = /^#(?:set-up-(s3|folder|webhook|heartbeat)|bring-back|loss)$/.exec(location.hash) ?? [];
    // What it leads to is in the status.
    if (hash === undefined || status === null) return;
    history.replaceState(history.state, '', location.pathname + location.search);
    const { database, lastGood, loss } = status;
    if (part !== undefined) this.setUp = part as SetUp['part']; // one of the four
    if (part === 'webhook' || part === 'heartbeat') this.configuration = true;
    if (hash === '#bring-back' && !database.exists && lastGood) this.restore(lastGood.filename);
    if (hash === '#loss' && loss) this.open = { kind: 'compare', a: loss.before, b: loss.filename };
  }

  showRun(id: string): void {
    this.tab = 'log';
    this.run = id;
    this.soughtRun = id;
  }
}

export const dialogs = new Dialogs();
