/**
 * A new user's first hour: every command of the start page and of the README, typed into empty folders with what was
 * printed, as a page. The package is installed as `npm pack` makes it, the repository is cloned at its last commit.
 *
 * `npx bun tests/docs/protocol.ts docs/first-hour.md` writes it anew.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { packPackage } from '../runtime/pack.ts';
import { mustRun, root } from '../runtime/run.ts';
import { startS3Server } from '../support/s3-server.ts';
import { makeDatabase } from '../support/scratch.ts';
import { commandsOf, type } from './typing.ts';
import { node22 } from '../support/runtimes.ts';

/** What takes longer than an hour would allow, and where it is typed instead. */
const elsewhere: readonly { readonly command: RegExp; readonly why: string }[] = [
  { command: /^npm ci && npm test$/, why: 'half an hour; CI types it' },
  { command: /^npx bun (bench|tests)\//, why: 'minutes; docs/benchmarks has the figures' },
];
/** What is told where it needs something that the reader has. */
const takenForGranted: readonly { readonly command: RegExp; readonly prepare: (desk: Desk) => Promise<unknown> }[] = [
  {
    command: /exec node app\.js/,
    prepare: ({ folder }) => Bun.write(join(folder, 'app.js'), "console.log('the app runs')\n"),
  },
  { command: /--identity key\.txt|^age -d/, prepare: sealOne },
];
const LINES_MOST = 80;

interface Desk {
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
}

const [target] = process.argv.slice(2);
if (target === undefined) throw new Error('say where to write it: bun tests/docs/protocol.ts docs/first-hour.md');
const home = mkdtempSync(join(tmpdir(), 'velist-first-hour-'));
const server = await startS3Server();
const failed: string[] = [];
try {
  await server.createBucket('our-backups');
  const packed = join(home, '.packed');
  mkdirSync(packed);
  const { tarball, sizeBytes, shipped } = await packPackage(packed);
  const environment = {
    ...process.env,
    ...{ HOME: home, NODE_ENV: undefined, CI: undefined },
    PATH: `${dirname(node22)}:${process.env['PATH']}`,
  };
  const s3 = {
    ...{ BACKUP_S3_ENABLED: 'true', S3_BUCKET: 'our-backups', S3_REGION: server.region, S3_ENDPOINT: server.endpoint },
    ...{ S3_ACCESS_KEY: server.accessKeyId, S3_SECRET_KEY: server.secretAccessKey },
  };
  const start: Desk = { folder: join(home, 'app'), environment: { ...environment, ...s3 } };
  mkdirSync(start.folder);
  makeDatabase(join(start.folder, 'app.sqlite'), { rows: 1_000 });
  const packedOne = (command: string) => command.replace('npm install velist-backup', `npm install ${tarball}`);
  const startPage = await typeAll(commandsOf(readFileSync(join(root, 'docs/index.md'), 'utf8')), start, packedOne);

  const clone = { folder: join(home, 'velist-backup'), environment };
  await mustRun('git', ['clone', '--quiet', root, clone.folder], home);
  const commands = commandsOf(readFileSync(join(root, 'README.md'), 'utf8'));
  const ofRepository = (command: string) => /^npm (ci|run|start)/.test(command);
  const repository = await typeAll(commands.filter(ofRepository), clone);
  const terminal = await typeAll(
    commands.filter((command) => !ofRepository(command)),
    {
      ...start,
      environment: {
        ...start.environment,
        DATABASE_URL: 'app.sqlite',
        PATH: `${start.folder}/node_modules/.bin:${environment.PATH}`,
      },
    },
    packedOne,
  );
  writeFileSync(
    target,
    `# A first hour

Every command of [the start page](index.md) and of the README, typed into empty folders, and what was printed. Written on
${new Date().toISOString().slice(0, 10)} by \`npx bun tests/docs/protocol.ts\`.

In the folder lies \`app.sqlite\`, a database in WAL mode with 1,000 rows. The variables of a bucket are set; it is that of a
small server for tests, which explains the warnings about unfinished uploads. The package is the packed one,
${sizeBytes} bytes in ${shipped.length} files, under Node 22.16.

## The start page

${startPage}
## The README, in a clone of the repository

${repository}
## The README, from a terminal

${terminal}`,
  );
} finally {
  await server.close();
  rmSync(home, { recursive: true, force: true });
}
if (failed.length > 0) throw new Error(`these did not do what they say:\n${failed.join('\n')}`);

async function typeAll(
  commands: readonly string[],
  desk: Desk,
  replace: (command: string) => string = (command) => command,
): Promise<string> {
  let text = '';
  for (const command of commands) {
    const other = elsewhere.find((one) => one.command.test(command));
    if (other) {
      text += `\`${command}\` was not typed here: ${other.why}.\n\n`;
      continue;
    }
    await takenForGranted.find((one) => one.command.test(command))?.prepare(desk);
    console.log(`$ ${command}`);
    const { code, output } = await type(command, { ...desk, typed: replace(command) });
    // 1 of these two is an answer: backups and database are on one disk here. Nor was there a backup yesterday.
    const isAnswer =
      (code === 1 && / (doctor|status)\b/.test(command)) || (code === 3 && / --at "yesterday/.test(command));
    if (code !== 0 && !isAnswer) failed.push(`${command}: ${code}\n${output}`);
    text += `\`\`\`text\n$ ${command}\n${shown(output)}${code === 0 ? '' : `(exit code ${code})\n`}\`\`\`\n\n`;
  }
  return text;
}

/** Without what this machine alone has. */
function shown(output: string): string {
  const lines = Bun.stripANSI(output)
    .replaceAll(home, '~')
    .split('\n')
    .map((line) => line.replace(/^.*\r(?=.)/, '').trimEnd())
    .filter((line) => line !== '' && !/^npm (warn|notice)/.test(line));
  const cut =
    lines.length > LINES_MOST ? [...lines.slice(0, LINES_MOST), `… ${lines.length - LINES_MOST} more lines`] : lines;
  return cut.map((line) => `${line}\n`).join('');
}

/** A key, and the newest backup sealed with it, beside its name as the README has it. */
async function sealOne({ folder, environment }: Desk): Promise<void> {
  const name = 'backup-2026-01-15T10-30-00-000Z.sqlite';
  await type(
    `[ -e key.txt ] || { age-keygen -o key.txt && zstd -q -c app.sqlite | age -e -i key.txt > ${name}.zst.age; }`,
    { folder, environment },
  );
}
