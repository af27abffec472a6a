/**
 * The hard cases as Markdown, from real runs: what was said, and what remains. Needs root, for its small disks.
 *
 *     bun tests/faults/hard-cases-table.ts                            prints the tables
 *     bun tests/faults/hard-cases-table.ts --markdown docs/hard-cases.md
 *     bun fmt --write --no-script docs/hard-cases.md
 *
 * With `--chapter 'Files of ours'` that one alone, as far as it begins so.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { makeDatabase } from '../support/scratch.ts';
import { checkHardCase, type HardCase, Scene } from './hard-cases.ts';
import { clockCases } from './hard-cases-clock.ts';
import { databaseCases } from './hard-cases-database.ts';
import { asideCases } from './hard-cases-aside.ts';
import { logCases } from './hard-cases-logs.ts';
import { diskCases } from './hard-cases-disk.ts';
import { neighbourCases } from './hard-cases-neighbours.ts';
import { checkRestoreCase, restoreCases } from './hard-cases-restore.ts';
import { judgeCases } from './hard-cases-judge.ts';
import { answerCases, keptCases, settingCases, type WordCase } from './hard-cases-words.ts';

const chapters: Readonly<Record<string, readonly HardCase[]>> = {
  'The disk and the backup folder': diskCases,
  'The database': databaseCases,
  'Logs that are not shared': logCases,
  'Files of ours': asideCases,
  'Several of us on one folder': neighbourCases,
  'The clock': clockCases,
};

/** No backup fails here: what is said is all. */
const words: Readonly<Record<string, readonly WordCase[]>> = {
  'Settings that are refused at the start': settingCases,
  'What S3 answers': answerCases,
  'Backups that are there already': keptCases,
  'What the check says': judgeCases,
};

const introduction = `# Hard cases

What a backup meets when the machine, the database or the neighbours misbehave, and what it says then. This page is
written by \`npx bun tests/faults/hard-cases-table.ts --markdown docs/hard-cases.md\`: every row is a run through a real
service and its real job process, and the messages are those of that run, with the paths shortened. The same cases are
tests (\`tests/faults/hard-cases.test.ts\`).

In every case it was checked that the backups made before are as they were, to the byte; that a failed run left no
backup, no half file and no staging folder; that page and run history say the same as the answer; and that after the
mend the next run is good, holds every row, and is the newest by number.

The last chapters are of another kind: no backup fails there, and the tables have what is said
(\`tests/faults/hard-cases-words.test.ts\`).
`;

const ofRestores = `## Restores over the database

Each row is a plan and then the restore, beside an app in a process of its own. In all of them the plan changed no byte; a
restore that was refused changed nothing; and \`undo\` exists if the plan promised it, and only then.

`;

/** Written by hand: what is said there differs by the version of the app. */
const ofApps = `## Real apps

Apps of other people, driven by a test (\`tests/apps\`): backed up while they commit; restored online while they commit, and
undone; restored in place, and undone. After each step the app judged its own file, and its numbered writes were counted:
each was on the right side of the restore, and but for those that Chromium dropped itself none was missing.

| app | what it meets | what happened |
| --- | --- | --- |
| Fossil, in journal mode delete and WAL | \`fossil server\` answers, and wiki pages are committed, by transactions that read before they write | done. A command in the middle of which an online restore takes the lock says \`database is locked\`, as beside any other writer, changes nothing, and is given again; none minds a backup. In place it is refused while \`fossil sql\` is open; a server that rests has nothing open. \`fossil test-integrity\`: no errors |
| beets | tracks are changed, while another command waits for an answer with the library open | done; online the waiting command does not mind, in place it is named. \`beet ls\` lists the tracks as they were |
| Firefox as it comes | \`places.sqlite\` is held exclusively (\`storage.sqlite.exclusiveLock.enabled\`), and is longer than its pages | \`DB_BUSY\` after 30 s; a backup that waits is made as soon as Firefox is closed. Closed, all is done: it starts with the history and bookmarks of the backup, and finds them sane |
| Firefox with that preference off | bookmarks are added | done, online too: the running browser reads the restored bookmarks, adds to them, and finds \`places.sqlite\` sane and coherent |
| Chromium, headless | \`Cookies\` is open, and written | done while it runs; but Chromium has no patience: a cookie that it wants to write in the moment of the copy, as of any reader, it keeps in memory alone, so that it is gone with the next start. In place it is refused until the browser is closed, which then starts with the cookies of the backup. Not online: it keeps all cookies in memory, and would go on with those |
| Chromium, headless | \`QuotaManager\` and \`DIPS\` are held exclusively | \`DB_BUSY\`; done when the browser is closed |
`;

const { markdown, chapter } = parseArgs({
  options: { markdown: { type: 'string' }, chapter: { type: 'string', default: '' } },
}).values;
const tables: string[] = [];
const wanted = ([title]: readonly [string, unknown]) => title.startsWith(chapter);
for (const [title, cases] of Object.entries(chapters).filter(wanted))
  tables.push(`## ${title}\n\n${await table(cases)}`);
for (const [title, cases] of Object.entries(words).filter(wanted))
  tables.push(`## ${title}\n\n${await wordTable(cases)}`);
if ('Restores over the database'.startsWith(chapter)) tables.push(ofRestores + (await restoreTable()));
if ('Real apps'.startsWith(chapter)) tables.push(ofApps);
if (markdown === undefined) console.log(tables.join('\n'));
else writeFileSync(markdown, `${introduction}\n${tables.join('\n')}`);

async function table(cases: readonly HardCase[]): Promise<string> {
  const rows = [
    ['fault', 'answer', 'hint', 'verdict on the page', 'what remains'],
    ['---', '---', '---', '---', '---'],
  ];
  for (const hardCase of cases) {
    const { error, warning, verdict, remains } = await checkHardCase(hardCase);
    const done = warning === null ? 'done' : `done, with a warning: ${toCell(warning)}`;
    const answer = error ? `\`${error.code}\` ${toCell(error.message)}` : done;
    rows.push([toCell(hardCase.name), answer, toCell(error?.hint ?? ''), verdict, remains]);
  }
  return rows.map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}

async function restoreTable(): Promise<string> {
  const rows = [
    ['what it meets', 'the plan warns', 'answer', 'hint', 'what remains'],
    ['---', '---', '---', '---', '---'],
  ];
  for (const restoreCase of restoreCases) {
    const { warnings, error, remains } = await checkRestoreCase(restoreCase);
    const answer = error ? `\`${error.code}\` ${toCell(error.message)}` : 'done';
    rows.push([restoreCase.name, toCell(warnings.join(' ')), answer, toCell(error?.hint ?? ''), remains]);
  }
  return rows.map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}

async function wordTable(cases: readonly WordCase[]): Promise<string> {
  const rows = [
    ['what is wrong', 'what is said', 'hint'],
    ['---', '---', '---'],
  ];
  for (const { name, ask } of cases) {
    const scene = new Scene();
    makeDatabase(scene.databasePath);
    const { code, message, hint } = await ask(scene).finally(() => scene.close());
    rows.push([toCell(name), `${code ? `\`${code}\` ` : ''}${toCell(message)}`, toCell(hint ?? '')]);
  }
  return rows.map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}

/** Scratch folders, ports and moments differ at each run. */
function toCell(text: string): string {
  return text
    .replaceAll(/\/\S*velist-hard-case-\w+\//g, '')
    .replaceAll(/127\.0\.0\.1:\d+/g, 's3.example.com')
    .replaceAll(/\.(damaged|unusable)-[\w-]+/g, '.$1-…')
    .replaceAll(/backup-(?!2024-01-15)\d{4}-[\dTZ-]+\.sqlite/g, 'backup-….sqlite')
    .replaceAll(/(\(process |kill -\w+ |\/proc\/)\d+/g, (_, before: string) => `${before}4711`)
    .replaceAll('|', '\\|')
    .replaceAll('\n', '⏎');
}
