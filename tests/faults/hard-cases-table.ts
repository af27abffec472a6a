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

This page shows what a backup does, and what it says, when the machine, the database or other programs misbehave. It is
written by \`npx bun tests/faults/hard-cases-table.ts --markdown docs/hard-cases.md\`: every row is a run through a real
service and its real job process, with the messages of that run and shortened paths. The same cases run as tests
(\`tests/faults/hard-cases.test.ts\`).

In every case it was checked that earlier backups are unchanged, to the byte; that a failed run left no backup, no partial
file and no staging folder; that the page and the run history say the same as the answer; and that once the fault is
repaired, the next run is good, contains every row, and is the newest by number.

In the last chapters no backup fails; their tables show what is said (\`tests/faults/hard-cases-words.test.ts\`).
`;

const ofRestores = `## Restores over the database

Each row is a plan and then the restore, beside an app in a process of its own. In every case the plan changed no byte, a
refused restore changed nothing, and there was an \`undo\` if the plan promised one, and only then.

`;

/** Written by hand: what is said there differs by the version of the app. */
const ofApps = `## Real apps

These are apps made by others, driven by a test (\`tests/apps\`). Each was backed up while it committed, restored online while
it committed and undone, and restored in place and undone. After each step the app checked its own file, and its numbered
writes were counted: each was on the right side of the restore, and except for those that Chromium itself dropped, none was
missing.

| app | what it meets | what happened |
| --- | --- | --- |
| Fossil, in journal mode delete and WAL | \`fossil server\` answers, and wiki pages are committed, by transactions that read before they write | done. If an online restore takes the lock in the middle of a command, that command says \`database is locked\`, as beside any other writer, changes nothing, and can be repeated; backups disturb none. In place it is refused while \`fossil sql\` is open; an idle server has nothing open. \`fossil test-integrity\`: no errors |
| beets | tracks are changed, while another command waits for an answer with the library open | done; an online restore does not disturb the waiting command, in place it is named. \`beet ls\` lists the tracks as they were |
| Firefox as it comes | \`places.sqlite\` is held exclusively (\`storage.sqlite.exclusiveLock.enabled\`), and is longer than its pages | \`DB_BUSY\` after 30 s; a waiting backup is made as soon as Firefox is closed. Once it is closed, everything works: it starts with the history and bookmarks of the backup, and finds them sane |
| Firefox with that preference off | bookmarks are added | done, online too: the running browser reads the restored bookmarks, adds to them, and finds \`places.sqlite\` sane and coherent |
| Chromium, headless | \`Cookies\` is open, and written | done while it runs; but Chromium has no patience: a cookie that it wants to write during the copy, or beside any other reader, stays only in memory and is gone with the next start. In place it is refused until the browser is closed, which then starts with the cookies of the backup. Not online: it keeps all cookies in memory, and would continue with those |
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
