/**
 * The page to sign in: one form that works without JavaScript. Everything that stands in it is ours; nothing of a
 * request is repeated.
 */
import { PASSWORD_GOOD, PASSWORD_LEAST } from '../../service/password.ts';
import type { PageAssets } from '../page-assets.ts';
import { serverPage } from '../server-page.ts';
import type { SignIn } from './sign-in.ts';

interface SignInPageOptions {
  readonly status: number;
  readonly assets: PageAssets;
  /** Without a password there is no form, nor with one that is too short. */
  readonly signIn: Pick<SignIn, 'hasPassword' | 'isPasswordShort'>;
  readonly complaint?: string;
  readonly retryAfterSeconds?: number;
}

export function signInPage({ status, assets, signIn, complaint, retryAfterSeconds }: SignInPageOptions): Response {
  const body = `    <main class="sign-in">
      <div class="card">
        <h1>Database Backup</h1>
${signIn.hasPassword ? form(complaint) : signIn.isPasswordShort ? shortPassword : noPassword}
      </div>
    </main>`;
  const page = serverPage({ title: 'Sign in – Database Backup', assets, body, status });
  if (status === 401) page.headers.set('www-authenticate', 'Bearer realm="backup"');
  if (retryAfterSeconds !== undefined) page.headers.set('retry-after', String(retryAfterSeconds));
  return page;
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

const shortPassword = `        <p>The password of this page has fewer than ${PASSWORD_LEAST} characters, so it opens nothing. Backups go on.</p>
        <p>Set <code>BACKUP_ADMIN_PASSWORD</code> to a longer one, ${PASSWORD_GOOD} characters or more, and start the server again.</p>`;
