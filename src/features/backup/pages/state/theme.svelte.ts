/** Light or dark. `theme.js` has set the start value before the first paint; this changes and remembers it. */
const key = 'velist-backup.theme';

class Theme {
  dark = $state(document.documentElement.dataset.theme === 'dark');

  toggle(): void {
    this.dark = !this.dark;
    const name = this.dark ? 'dark' : 'light';
    document.documentElement.dataset.theme = name;
    try {
      localStorage.setItem(key, name);
    } catch {
      // Storage may be blocked; the choice then lasts as long as the page.
    }
  }
}

export const theme = new Theme();
