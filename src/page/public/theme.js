// Sets the theme before the first paint. A classic script of its own, because the page's policy forbids inline ones.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem('velist-backup.theme');
  } catch {
    // Storage may be blocked; the system's choice holds then.
  }
  if (theme !== 'light' && theme !== 'dark') {
    theme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  }
  document.documentElement.dataset.theme = theme;
})();
