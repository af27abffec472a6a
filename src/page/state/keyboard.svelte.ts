/**
 * The single keys of the page of one database.
 *
 * A key for a backup presses the button in its row (`data-key`), so it can do no more than what is on the screen. The
 * row is the one that has the focus.
 */
import { tick } from 'svelte';
import { clock } from './clock.svelte.ts';
import { acts } from './acts.svelte.ts';
import { dashboard } from './dashboard.svelte.ts';
import { dialogs } from './dialogs.svelte.ts';
import { type Shortcut, singleKeys } from './single-keys.svelte.ts';
import { theme } from './theme.svelte.ts';

/** The help is drawn from this. */
export const shortcuts: readonly Shortcut[] = [
  { does: 'Backup Now', keys: { b: () => dashboard.online && acts.backupNow() } },
  { does: 'Configure', keys: { c: configure } },
  { does: 'Find a backup', keys: { '/': find } },
  { does: 'Next, previous backup', keys: { j: () => step(1), k: () => step(-1) } },
  { does: 'Open details', keys: { Enter: null } },
  {
    does: 'Restore, download, delete',
    keys: { r: () => pressInRow('r'), d: () => pressInRow('d'), Delete: () => pressInRow('Delete') },
  },
  { does: 'Compare with the one before, see a loss', keys: { '=': compare } },
  { does: 'Local time or UTC', keys: { u: () => clock.choose(clock.choice === 'utc' ? 'local' : 'utc') } },
  { does: 'Light or dark', keys: { t: () => theme.toggle() } },
  { does: 'This help', keys: { '?': () => (dialogs.open = { kind: 'keys' }) } },
];

class Keyboard {
  /** Where J and K go on from when the focus has left the list. */
  #row: HTMLElement | null = null;

  press(event: KeyboardEvent): void {
    singleKeys.press(event, shortcuts);
  }

  step(by: 1 | -1): void {
    const rows = [...document.querySelectorAll<HTMLElement>('.row')];
    const from = focusedRow() ?? this.#row;
    let at = from === null ? -1 : rows.indexOf(from);
    if (at === -1 && by === -1) return;
    do at += by;
    while (rows[at]?.inert);
    const row = rows[at];
    if (row === undefined) return;
    this.#row = row;
    row.querySelector('button')?.focus();
  }
}

export const keyboard = new Keyboard();

const focusedRow = () => document.activeElement?.closest<HTMLElement>('.row') ?? null;

function pressInRow(key: string): void {
  focusedRow()?.querySelector<HTMLElement>(`[data-key="${key}"]`)?.click();
}

/** Compares the backup of the focused row; else what was lost, while the verdict tells of a loss. */
function compare(): void {
  const { filename } = focusedRow()?.dataset ?? {};
  const backup = dashboard.backups.find((one) => one.filename === filename);
  if (backup !== undefined) dialogs.compareWithBefore(backup);
  else document.querySelector<HTMLElement>('[data-key="="]')?.click();
}

async function configure(): Promise<void> {
  if (!dashboard.online) return;
  dialogs.configuration = true;
  await tick();
  document.querySelector<HTMLElement>('.cfg')?.focus();
}

async function find(): Promise<void> {
  dialogs.tab = 'history';
  await tick();
  document.querySelector<HTMLElement>('.search input')?.focus();
}

async function step(by: 1 | -1): Promise<void> {
  dialogs.tab = 'history';
  await tick();
  keyboard.step(by);
}
