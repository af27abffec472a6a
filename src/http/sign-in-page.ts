/**
 * The page to sign in, in the dashboard's style: one form that works without JavaScript. It uses the dashboard's own
 * style sheet, whose address is in the built `index.html`; unbuilt, behind the page's development server, that server
 * has the sheet at its source's address.
 */
import type { PageAssets } from './page-assets.ts';

export interface SignInPageOptions {
  readonly status: number;
  readonly assets: PageAssets;
  /** Without a password there is no form. */
  readonly hasPassword: boolean;
  readonly complaint?: string;
  readonly retryAfterSeconds?: number;
}

export function signInPage({ status, assets, hasPassword, complaint, retryAfterSeconds }: SignInPageOptions): Response {
  const headers = new Headers({
    'cache-control': 'no-store',
    'content-security-policy': contentSecurityPolicy,
    'content-type': 'text/html; charset=utf-8',
    // Under `no-referrer` browsers send `Origin: null` with a form.
    'referrer-policy': 'same-origin',
  });
  if (status === 401) headers.set('www-authenticate', 'Bearer realm="backup"');
  if (retryAfterSeconds !== undefined) headers.set('retry-after', String(retryAfterSeconds));
  const body = hasPassword ? form(complaint) : noPassword;
  return new Response(html(styleSheet(assets), body), { status, headers });
}

const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  'img-src data:',
  "font-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ');

function styleSheet(assets: PageAssets): string {
  const index = assets.find('index.html');
  const link = index && /<link rel="stylesheet"[^>]*href="(\.\/[\w./-]+)"/.exec(new TextDecoder().decode(index.bytes));
  return link?.[1] ?? './styles/page.css';
}

/** Everything that stands in it is ours; nothing of a request is repeated. */
function html(sheet: string, body: string): string {
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <meta name="robots" content="noindex" />
    <title>Sign in – Database Backup</title>
    <link rel="icon" href="data:," />
    <link rel="stylesheet" href="${sheet}" />
    <script src="./theme.js"></script>
  </head>
  <body>
    <main class="sign-in">
      <div class="card">
        <h1>Database Backup</h1>
${body}
      </div>
    </main>
  </body>
</html>
`;
}

function form(complaint: string | undefined): string {
  const told = complaint === undefined ? '' : `          <p class="wrong" id="wrong" role="alert">${complaint}</p>\n`;
  const described = complaint === undefined ? '' : ' aria-invalid="true" aria-describedby="wrong"';
  return `        <form method="post" action="./login">
          <input class="sr" type="text" name="username" value="admin" autocomplete="username" tabindex="-1" aria-hidden="true" readonly />
          <label for="password">Password</label>
          <input class="inp" id="password" name="password" type="password" autocomplete="current-password" required autofocus${described} />
${told}          <button class="btn primary" type="submit">Sign in</button>
        </form>`;
}

const noPassword = `        <p>This page has no password yet. Set <code>BACKUP_ADMIN_PASSWORD</code> and start the server again.</p>
        <p class="muted">Programs get in with the value of <code>BACKUP_API_TOKEN</code>.</p>`;
