/**
 * The command line: one command per verb of the service. `runCli` takes everything from outside that it touches, so
 * that tests hand in their own, and answers the exit code:
 *
 * 0 done · 1 failed · 2 wrong use or configuration · 3 no such backup · 4 verification failed · 5 stored locally but
 * not at every target · 130 interrupted. What `status` answers is in `statusExitCode`.
 */
import { type CliContext, type CliPlaces, type Session, type Work, wrongUse } from './session.ts';
import { backupTable, createOutput, type Output, sizeText } from './output.ts';
import { exitCodeOf, exitCodes, exitWords } from './exit-codes.ts';
import { Command, CommanderError, Option } from 'commander';
import { askWhich, pickDatabases, statusOfEach, workOnEach } from './several.ts';
import { BackupError } from '../words/errors.ts';
import { actingAs } from '../service/audit/actor.ts';
import { type AuditOptions, commandLineActor, showAudit, showAuditOfAll } from './audit.ts';
import { visibleText } from '../words/visible-text.ts';
import { examplesText } from './examples.ts';
import type { TargetName } from '../service/model.ts';
import { verifyBackup, type VerifyOptions, withRemarks } from './commands/verify.ts';
import { MOMENT_FORMS } from '../words/moment.ts';
import { dryRunOption, yesOption } from './replace-command.ts';
import {
  restoreBackup,
  restoreIfMissing,
  type RestoreOptions,
  type UndoOptions,
  undoRestore,
} from './commands/restore.ts';
import { claim, type ClaimOptions } from './commands/claim.ts';
import { makeMark, pauseContinuous, resumeContinuous, showMoments } from './commands/moments.ts';
import { prune, type PruneOptions } from './commands/prune.ts';
import { acceptLoss, diffBackups } from './losses.ts';
import { drill, type DrillOptions } from './commands/drill.ts';
import { showStatus, statusExitCode } from './commands/status.ts';
import { writeKit } from './kit.ts';
import { addSelfDescription } from './self-description.ts';
import { targetWord } from '../words/target-word.ts';
import { targetText } from './target-report.ts';
import { doctorText } from './doctor-report.ts';
import { readFileSync } from 'node:fs';

const NOT_LATER = 'the newest backup or captured moment that is not later';

const allowPlain = ['--allow-plain', 'also a copy that is not encrypted, where copies there are to be'] as const;

interface ServeFlags {
  readonly restoreIfMissing?: true;
  readonly identity?: string;
  readonly allowPlain?: true;
}

/** `argv` without the program's name. */
export async function runCli(argv: readonly string[], context: CliContext): Promise<number> {
  const global = { json: argv.includes('--json'), quiet: argv.includes('--quiet') };
  const output = createOutput({
    stdout: context.stdout,
    stderr: context.stderr,
    color: context.color,
    ...global,
  });
  let exitCode: number = exitCodes.done;

  const program = describeProgram(context, output, global.json, async (work, places, onMany) => {
    exitCode = await runWithService(work, places, context, output, onMany);
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      if (thrown.exitCode === 0) return exitCodes.done;
      if (global.json) output.error(wrongUse(thrown.message.replace(/^error: /, '')));
      return exitCodes.wrongUse;
    }
    return fail(thrown, context, output);
  }
}

/** What is done where there are several databases and none was picked; left out, the same to each. */
type OnMany = typeof workOnEach;

type Run = (work: Work, places: CliPlaces, onMany?: OnMany) => Promise<void>;

/** Opens the service for one command and closes it, whatever comes. An interrupt stops the run and is waited for. */
async function runWithService(
  work: Work,
  places: CliPlaces,
  context: CliContext,
  output: Output,
  onMany: OnMany = workOnEach,
): Promise<number> {
  const opened = await context.createService(places);
  const several = 'databases' in opened ? opened.databases : null;
  const services = 'databases' in opened ? opened.databases.map(({ service }) => service) : [opened];
  const interrupt = () => {
    for (const service of services) {
      // All of it: a listing and an upload are no runs.
      service.stop().catch((error: unknown) => output.error(BackupError.from(error)));
    }
  };
  context.signal.addEventListener('abort', interrupt, { once: true });
  try {
    const now = context.now ?? (() => new Date());
    const all = 'databases' in opened && places.databasePath === undefined ? opened : undefined;
    const session = { output, now, ask: context.ask, signal: context.signal, ...(all && { all }) };
    const picked = several && pickDatabases(several, places.databasePath);
    const service = picked === null ? services[0] : places.databasePath === undefined ? undefined : picked[0]?.service;
    const codeOf = (thrown: unknown) =>
      context.signal.aborted ? exitCodes.interrupted : exitCodeOf(BackupError.from(thrown).code);
    return await actingAs(commandLineActor(), () =>
      service ? work({ ...session, service }) : onMany(work, picked ?? [], session, codeOf),
    );
  } catch (thrown) {
    return fail(thrown, context, output);
  } finally {
    context.signal.removeEventListener('abort', interrupt);
    output.progress.done();
    await opened.close();
  }
}

function fail(thrown: unknown, context: CliContext, output: Output): number {
  const error = BackupError.from(thrown);
  output.error(error);
  return context.signal.aborted ? exitCodes.interrupted : exitCodeOf(error.code);
}

function describeProgram(context: CliContext, output: Output, json: boolean, run: Run): Command {
  const program = new Command('velist-backup')
    .description('Consistent, verified, restorable backups of a SQLite database in use.')
    .option('--config <file>', 'the configuration (else velist-backup.config.ts, .js or .mjs here, if there is one)')
    .option('--database <path>', 'the database (else DATABASE_URL); of several one, by its name or path')
    .option('--backups <dir>', 'the folder of the backups (else BACKUP_LOCAL_PATH)')
    .option('--json', 'one JSON document on standard output, everything else on standard error')
    .option('--quiet', 'print errors only')
    .version(packageVersion(), '--version')
    .helpOption('--help', 'show this help')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      'after',
      `\nExit codes:\n${exitWords.map(([code, what]) => `  ${String(code).padEnd(4)} ${what}`).join('\n')}`,
    )
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void context.stdout.write(text),
      writeErr: (text) => void (json || context.stderr.write(visibleText(text))),
    })
    .showSuggestionAfterError();
  const places = (): CliPlaces => ({
    configPath: program.opts()['config'],
    databasePath: program.opts()['database'],
    backupsPath: program.opts()['backups'],
  });

  // Global options are also taken behind the command, as people type them.
  const command = (usage: string, description: string) => {
    const made = program.command(usage).description(description).helpOption('--help', 'show this help');
    made.addHelpText('after', examplesText(made.name()));
    for (const option of program.options.filter(({ long }) => long !== '--version')) {
      made.addOption(new Option(option.flags, option.description).hideHelp());
      made.on(`option:${option.attributeName()}`, (value: string | null) =>
        program.setOptionValue(option.attributeName(), value ?? true),
      );
    }
    return made;
  };

  command('backup', 'make a backup now').action(() => run(makeBackup, places()));
  const identity = ['--identity <file>', 'the private key of age that opens an encrypted copy'] as const;
  command('list', 'list the backups, newest first')
    .option('--target <target>', 'only what is there: local, s3 or a further target, which is asked now')
    .action((options: { target?: TargetName }) => run((session) => listBackups(session, options), places()));
  command('verify <backup>', 'check a backup: its name, "latest", or a path to any SQLite file')
    .option('--full', 'integrity_check instead of quick_check')
    .option('--from <target>', 'which copy; left out: the local one if there is one')
    .option(...identity)
    .option(...allowPlain)
    .action((wanted: string, options: VerifyOptions) =>
      run((session) => verifyBackup(session, wanted, options), places(), onlyOne),
    );
  command('restore [backup]', 'bring a backup back: its name, "latest", or a path; into a new file unless told')
    .option('--to <path>', 'into this file, which must not exist')
    .addOption(new Option('--online', 'over the database while programs use it').conflicts(['to', 'inPlace']))
    .addOption(
      new Option(
        '--in-place',
        'over the database while no program uses it, or to its place when it is missing',
      ).conflicts(['to', 'online']),
    )
    .option('--at <time>', `${NOT_LATER}: ${MOMENT_FORMS}; local time unless it names a zone; or a bookmark, or a mark`)
    .addOption(
      new Option(
        '--if-missing',
        'the newest good backup, here or on S3, to the place of the database, if that is missing: for the start of a container',
      ).conflicts(['to', 'online', 'inPlace', 'at', 'from', 'dryRun']),
    )
    .option('--from <target>', 'from there alone; s3 also on a machine that has nothing but the S3 variables')
    .option('--from-other', 'also a backup of another database: its data takes the place of this one')
    .option(...identity)
    .option(...allowPlain)
    .addOption(yesOption())
    .addOption(dryRunOption())
    .action((wanted: string | undefined, options: RestoreOptions) =>
      run(
        (session) => (options.ifMissing ? restoreIfMissing : restoreBackup)(session, wanted, options),
        places(),
        options.ifMissing ? undefined : onlyOne,
      ),
    );
  command('claim', 'say that the backups there are of this database: after a move, a rename, a lost state')
    .option('--target <target>', 'where: local unless told')
    .action((options: ClaimOptions) => run((session) => claim(session, options), places(), onlyOne));
  command('undo', 'undo the last restore that replaced the database')
    .addOption(new Option('--online', 'while programs use it; so unless told').conflicts('inPlace'))
    .addOption(new Option('--in-place', 'while no program uses it').conflicts('online'))
    .addOption(yesOption())
    .addOption(dryRunOption())
    .action((options: UndoOptions) => run((session) => undoRestore(session, options), places(), onlyOne));
  command('adopt <backup>', 'verify a backup that was made by hand or by Velist, and take it into the catalog').action(
    (filename: string) => run((session) => adoptBackup(session, filename), places(), onlyOne),
  );
  command('prune', 'remove the backups that the retention policy does not keep')
    .option('--dry-run', 'only say what would be removed, and why each stays')
    .option('--target <target>', 'where: local unless told; another target is asked now')
    .action((options: PruneOptions) => run((session) => prune(session, options), places()));
  command('diff <a> <b>', 'compare two backups by tables, rows and schema: their names, or "latest"').action(
    (a: string, b: string) => run((session) => diffBackups(session, a, b), places(), onlyOne),
  );
  command('accept-loss [backup]', 'say that a loss was meant: its alarm ends, and what was before may be removed')
    .option('--ignore-tables', 'its tables are emptied regularly: nobody is told of them again')
    .action((filename: string | undefined, options: { ignoreTables?: boolean }) =>
      run((session) => acceptLoss(session, filename, options), places(), onlyOne),
    );
  command('test-target [target]', 'try at s3 (or another target) all that backups need, and remove the traces').action(
    (name: string | undefined) => run((session) => testTarget(session, name), places()),
  );
  command('drill', 'restore the newest backup of each target to a hidden place, judge it and remove it')
    .option('--from <target>', 'only this one; left out: each that is on')
    .option(...identity)
    .option(...allowPlain)
    .action((options: DrillOptions) => run((session) => drill(session, options), places()));
  command('doctor', 'say what is wrong, or may go wrong, with the way all is set up; exits 1 when somebody should act')
    .option('--s3', 'ask the buckets too, as test-target does; left out: while one is on')
    .action((options: { s3?: boolean }) => run((session) => diagnose(session, options), places()));
  command('status', 'say whether the database is protected; exits 0 only when it is').action(() =>
    run(showStatus, places(), (_, ...rest) => statusOfEach(statusExitCode, ...rest)),
  );
  addContinuous(command, (work) => run(work, places(), onlyOne));
  command('audit', 'say who did what, from where, when and with what result; newest first')
    .option('--since <time>', 'nothing from before: a day, or a time in ISO 8601')
    .option('--limit <count>', 'the newest so many; 100 unless told')
    .action((options: AuditOptions) =>
      run(
        (session) => showAudit(session, options),
        places(),
        (_, databases, session) => showAuditOfAll(options, databases, session),
      ),
    );
  command('kit', 'write how to get the data back with stock programs when this one is gone; holds no secret')
    .option('--output <file>', 'into this file, which only its owner can read; replaces nothing but an earlier kit')
    .action((options: { output?: string }) => run((session) => writeKit(session, options), places()));
  command('serve', 'run the schedule and the dashboard until interrupted')
    .option(
      '--restore-if-missing',
      'first bring the newest good backup back, here or from S3, if the database is missing',
    )
    .option(...identity)
    .option(...allowPlain)
    .action(async ({ restoreIfMissing, identity: identityFile, allowPlain: plain }: ServeFlags) => {
      if (identityFile && !restoreIfMissing) throw wrongUse('--identity is for --restore-if-missing');
      if (plain && !restoreIfMissing) throw wrongUse('--allow-plain is for --restore-if-missing');
      const options = restoreIfMissing ? { restoreIfMissing: { identityFile, allowPlain: plain } } : {};
      await actingAs(commandLineActor(), () => context.serve(places(), context.signal, options));
      output.progress.done();
    });
  addSelfDescription(program, {
    ...{ stdout: context.stdout, command, wrongUse, version: packageVersion(), exitCodes: exitWords },
    withoutConfig: (work) => run(work, { ...places(), isWithoutConfig: true }),
  });
  return program;
}

/** The verbs of continuous backup. */
function addContinuous(
  command: (usage: string, description: string) => Command,
  run: (work: Work) => Promise<void>,
): void {
  command('moments', 'list what continuous backup can restore: from when to when, how finely, and the marks').action(
    () => run(showMoments),
  );
  command('mark <name>', 'give a name to all that is committed now, for restore --at').action((name: string) =>
    run((session) => makeMark(session, name)),
  );
  command('pause', 'let go of the database: no commit is captured until resume').action(() => run(pauseContinuous));
  command('resume', 'capture commits again').action(() => run(resumeContinuous));
}

const onlyOne: OnMany = (_, databases) => askWhich(databases);

const makeBackup: Work = async ({ service, output }) => {
  const result = await service.performBackup(undefined, { trigger: 'cli', onProgress: output.progress.show });
  if (!result.success) {
    const error = result.error
      ? BackupError.fromJSON(result.error)
      : new BackupError('INTERNAL', 'the backup failed', { hint: 'The log has the details.' });
    output.answer(result, '');
    if (!output.json) output.error(error);
    return exitCodeOf(error.code);
  }
  const uploaded = Object.entries(result.uploaded ?? {});
  const words = (stored: boolean) => uploaded.flatMap(([name, is]) => (is === stored ? targetWord(name) : []));
  const where =
    uploaded.length > 0 && words(false).length === 0 ? `, stored locally and at ${words(true).join(' and ')}` : '';
  const completed = `Completed: ${result.filename} (${sizeText(result.size ?? 0)})${where}`;
  output.answer(result, withRemarks(completed, result.remarks ?? []));
  if (words(false).length === 0) return exitCodes.done;
  const missing = words(false).join(' and ');
  output.note(
    `The backup is stored locally, but not yet at ${missing}; the running app or the next backup tries again.`,
  );
  return exitCodes.notEverywhere;
};

async function listBackups({ service, output }: Session, options: { target?: TargetName }): Promise<number> {
  const backups = await service.getBackups(options);
  output.answer({ backups }, backupTable(backups, { width: output.width }));
  return exitCodes.done;
}

async function adoptBackup({ service, output }: Session, filename: string): Promise<number> {
  const backup = await service.adoptBackup(filename);
  output.answer(backup, `${backup.filename} is now in the catalog.`);
  return exitCodes.done;
}

async function testTarget({ service, output, signal }: Session, wanted = 's3'): Promise<number> {
  const report = await service.testTarget(wanted, { signal });
  output.answer(report, targetText(report));
  return report.ok ? exitCodes.done : exitCodes.failed;
}

async function diagnose({ service, output }: Session, options: { s3?: boolean }): Promise<number> {
  const isRemote = async () => (await service.getStatus()).targets.some(({ enabled }) => enabled);
  const report = await service.diagnose({ s3: options.s3 ?? (await isRemote()) });
  output.answer(report, doctorText(report));
  return report.ok ? exitCodes.done : exitCodes.failed;
}

/** The package's own, found two folders up from `src/cli` and from `dist/cli`. */
function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version }: { version?: unknown } = JSON.parse(text);
  return String(version);
}
