/**
 * Single keys for what is done often. They hold while no field has the focus, no dialog is open and no modifier is
 * pressed, and they can be turned off (WCAG 2.1.4), which is remembered for all pages.
 */
import { recall, remember } from './memory.ts';

export interface Shortcut {
  readonly does: string;
  /** By the key's name, with `Shift+` before a letter that is pressed with it; null: the browser itself presses what has the focus. */
  readonly keys: Readonly<Record<string, (() => unknown) | null>>;
}

class SingleKeys {
  isOn = $state(recall('keys') !== 'off');

  turn(isOn: boolean): void {
    this.isOn = isOn;
    remember('keys', isOn ? 'on' : 'off');
  }

  press(event: KeyboardEvent, shortcuts: readonly Shortcut[]): void {
    if (!this.isOn || event.defaultPrevented || event.isComposing) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { key, target } = event;
    // A key that is held down walks through the rows, and does nothing else again and again.
    if (event.repeat && !/^[jk]$/i.test(key)) return;
    if (target instanceof Element && target.closest('input:not(.pick), textarea, select')) return;
    if (document.querySelector('dialog:modal, dialog:popover-open') !== null) return;
    // Signs like ? need Shift on some keyboards; a letter with it is another key.
    const isLetter = key.toLowerCase() !== key.toUpperCase();
    const name = key.length > 1 ? key : `${event.shiftKey && isLetter ? 'Shift+' : ''}${key.toLowerCase()}`;
    const act = shortcuts.map(({ keys }) => keys[name]).find((found) => found);
    if (!act) return;
    event.preventDefault();
    act();
  }
}

export const singleKeys = new SingleKeys();
