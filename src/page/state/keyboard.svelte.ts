/**
 * Single keys for what is done often. They hold while no field has the focus, no dialog is open and no modifier is
 * pressed, and they can be turned off (WCAG 2.1.4), which is remembered.
 *
 * A key for a backup presses the button in its row (`data-key`), so it can do no more than what is on the screen. The
 * row is the one that has the focus.
 */
import { tick } from 'svelte';
import { clock } from './clock.svelte.ts';
import { acts } from './acts.svelte.ts';
import { dashboard } from './dashboard.svelte.ts';
import { dialogs } from './dialogs.svelte.ts';
import { recall, remember } from './memory.ts';
import { theme } from './theme.svelte.ts';

interface Shortcut {
  readonly does: string;
  /** By the key's name; null: the browser itself presses the button that has the focus. */
  readonly keys: Readonly<Record<string, (() => unknown) | null>>;
}

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
  isOn = $state(recall('keys') !== 'off');
  /** Where J and K go on from when the focus has left the list. */
  #row: HTMLElement | null = null;

  turn(isOn: boolean): void {
    this.isOn = isOn;
    remember('keys', isOn ? 'on' : 'off');
  }

  press(event: KeyboardEvent): void {
    if (!this.isOn || event.defaultPrevented || event.isComposing) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { key, target } = event;
    // A key that is held down walks through the rows, and does nothing else again and again.
    if (event.repeat && !/^[jk]$/i.test(key)) return;
    // Signs like ? need Shift on some keyboards; letters never do.
    if (event.shiftKey && key.toLowerCase() !== key.toUpperCase()) return;
    if (target instanceof Element && target.closest('input, textarea, select')) return;
    if (document.querySelector('dialog:modal, dialog:popover-open') !== null) return;
    const name = key.length === 1 ? key.toLowerCase() : key;
    const act = shortcuts.map(({ keys }) => keys[name]).find((found) => found);
    if (!act) return;
    event.preventDefault();
    act();
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
