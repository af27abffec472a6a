/** Small choices that the browser remembers. Storage may be blocked; a choice then lasts as long as the page. */
const prefix = 'velist-backup.';

export function recall(name: string): string | null {
  try {
    return localStorage.getItem(prefix + name);
  } catch {
    return null;
  }
}

export function remember(name: string, value: string): void {
  try {
    localStorage.setItem(prefix + name, value);
  } catch {
    // See above.
  }
}
