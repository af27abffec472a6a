/**
 * Puts a text on the clipboard; false if the browser does not allow it. Browsers offer the clipboard to secure pages
 * alone; on plain http, as in a home network, the old command still works, with a field in the same dialog: outside of
 * a modal one nothing can be selected.
 */
export async function copyText(text: string, button: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement('textarea');
    field.value = text;
    (button.closest('dialog') ?? document.body).append(field);
    field.select();
    const isCopied = document.execCommand('copy');
    field.remove();
    button.focus();
    return isCopied;
  }
}
