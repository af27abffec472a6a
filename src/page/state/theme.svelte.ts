/** Light or dark. `theme.js` has set the start value before the first paint; this changes and remembers it. */
import { remember } from './memory.ts';

class Theme {
  dark = $state(document.documentElement.dataset.theme === 'dark');

  toggle(): void {
    this.dark = !this.dark;
    const name = this.dark ? 'dark' : 'light';
    document.documentElement.dataset.theme = name;
    remember('theme', name);
  }
}

export const theme = new Theme();
