/** All databases at a glance, each with the way to its own page. It is as of the moment when it was asked for. */
import type { DatabasesAnswer } from './contract.ts';
import type { PageAssets } from './page-assets.ts';
import { escapeHtml, serverPage } from './server-page.ts';

const badges = { green: 'ok', amber: 'warn', red: 'bad', blue: 'busy', grey: 'off' } as const;

export function overviewPage({ databases }: DatabasesAnswer, assets: PageAssets, now: Date = new Date()): Response {
  const rows = databases.map(({ name, page, label, tone, lastGoodAt }) => {
    const good =
      lastGoodAt === null ? 'no good backup' : `good backup ${ageText(now.getTime() - Date.parse(lastGoodAt))}`;
    return `        <li><a href="./${escapeHtml(page)}"><b>${escapeHtml(name)}</b><span class="bdg ${badges[tone]}">${escapeHtml(label)}</span><span class="muted">${good}</span></a></li>`;
  });
  const attention = databases.filter(({ tone }) => tone === 'red' || tone === 'amber').length;
  const count = `${databases.length} database${databases.length === 1 ? '' : 's'}`;
  const summary = attention === 0 ? count : `${count}, ${attention} to look at`;
  const body = `    <div class="wrap databases">
      <header class="top">
        <div>
          <h1>Database Backup</h1>
          <p class="sub">${summary}. As of ${now.toISOString().slice(11, 19)} UTC.</p>
        </div>
        <div class="right"><a class="btn" href="./">Reload</a></div>
      </header>
      <main>${
        rows.length === 0
          ? '<p class="card pad">No file was found yet. It is looked for every minute; see the globs of the configuration.</p>'
          : `
      <ul class="card">
${rows.join('\n')}
      </ul>`
      }</main>
    </div>`;
  return serverPage({ title: `${summary} – Database Backup`, assets, body });
}

function ageText(ms: number): string {
  const minutes = Math.max(0, Math.floor(ms / 60_000));
  if (minutes < 1) return 'a moment ago';
  if (minutes < 120) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} hours ago` : `${Math.floor(hours / 24)} days ago`;
}
