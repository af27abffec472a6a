/**
 * A page that the server writes by itself, in the dashboard's style and without its script. It uses the dashboard's own
 * style sheet, whose address is in the built `index.html`; unbuilt, behind the page's development server, that server
 * has the sheet at its source's address.
 */
import type { PageAssets } from './page-assets.ts';

interface ServerPageOptions {
  readonly title: string;
  readonly assets: PageAssets;
  /** Inside `<body>`; what comes from outside is escaped in it already. */
  readonly body: string;
  readonly status?: number;
}

export function serverPage({ title, assets, body, status = 200 }: ServerPageOptions): Response {
  const headers = {
    'cache-control': 'no-store',
    'content-security-policy': contentSecurityPolicy,
    'content-type': 'text/html; charset=utf-8',
    // Under `no-referrer` browsers send `Origin: null` with a form.
    'referrer-policy': 'same-origin',
  };
  return new Response(html(styleSheet(assets), title, body), { status, headers });
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

function html(sheet: string, title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <meta name="robots" content="noindex" />
    <title>${title}</title>
    <link rel="icon" href="data:," />
    <link rel="stylesheet" href="${sheet}" />
    <link rel="stylesheet" href="./sign-in.css" />
    <script src="./theme.js"></script>
  </head>
  <body>
${body}
  </body>
</html>
`;
}
