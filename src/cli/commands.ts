/**
 * The command line: one command per verb of the service. `runCli` takes everything from outside that it touches, so
 * that tests hand in their own, and answers the exit code:
 *
 * 0 done · 1 failed · 2 wrong use or configuration · 3 no such backup · 4 verification failed · 5 stored locally but
 * not at every target · 130 interrupted. What `status` answers is in `statusExitCode`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import { BackupError, type ErrorBody, type ErrorCode } from '../engine/errors.ts';
import { visibleText } from '../engine/visible-text.ts';
import { actingAs } from '../service/actor.ts';
import type { TargetFreshness } from '../service/freshness.ts';
import { lossText } from '../service/loss-text.ts';
import { BRING_BACK } from '../service/missing.ts';
import { remarkTexts } from '../service/remarks.ts';
import { foreignBackup } from '../service/foreign-backup.ts';
import { SURVIVED } from '../service/retention-policies.ts';
import type {
  BackupItem,
  ClaimResult,
  FirstBoot,
  PlaceStatus,
  PruneResult,
  RunProgress,
  Status,
  TargetDrill,
  TargetName,
  TargetStatus,
  VerdictCode,
} from '../service/model.ts';
import { targetWord } from '../service/remote-targets.ts';
import type { BackupServicePort } from '../service/service-port.ts';
import { type AuditOptions, commandLineActor, showAudit, showAuditOfAll } from './audit.ts';
import { askWhich, type CliDatabases, pickDatabases, statusOfEach, workOnEach } from './many.ts';
import { doctorText } from './doctor-report.ts';
import { examplesText } from './examples.ts';
import { writeKit } from './kit.ts';
import { acceptLoss, diffBackups } from './losses.ts';
import {
  answerDryRun,
  type Ask,
  dryRunOption,
  replaceDatabase,
  type ReplaceGiven,
  type ReplaceOptions,
  restoredText,
  yesOption,
} from './replace-command.ts';
import { addSelfDescription } from './self-description.ts';
import { targetText } from './target-report.ts';
import { agoText, backupTable, createOutput, durationText, type Output, type Sink, sizeText } from './output.ts';

/** The service, and what only the command line asks of it. */
export interface CliService extends BackupServicePort {
  /** Checks any SQLite file, whether it is in a catalog or not. */
  verifyFile(path: string, options?: { readonly full?: boolean }): ReturnType<BackupServicePort['verifyFile']>;
  recoveryKit(): Promise<string>;
  /** See `BackupService.restoreIfMissing`. */
  restoreIfMissing(options?: {
    readonly identityFile?: string;
    readonly fromOther?: boolean;
    readonly allowPlain?: boolean;
    readonly onProgress?: (run: RunProgress) => void;
  }): Promise<FirstBoot>;
  close(): Promise<void>;
}

export interface CliPlaces {
  /** The configuration file; else one is looked for in the working folder. */
  readonly configPath?: string;
  /** Runs none: whoever presses a key in a folder has not asked for what lies there. */
  readonly isWithoutConfig?: true;
  /** Where a configuration has a list, one of it, also by its name. */
  readonly databasePath?: string;
  readonly backupsPath?: string;
}

export interface CliContext {
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** Aborted when the user interrupts. */
  readonly signal: AbortSignal;
  readonly createService: (places: CliPlaces) => CliService | CliDatabases | Promise<CliService | CliDatabases>;
  /** Runs the server until the signal is aborted. */
  readonly serve: (places: CliPlaces, signal: AbortSignal, options: ServeOptions) => Promise<void>;
  readonly color?: boolean;
  /** Left out where no person sits at a terminal. */
  readonly ask?: Ask;
  readonly now?: () => Date;
}

export interface ServeOptions {
  readonly restoreIfMissing?: { readonly identityFile?: string; readonly allowPlain?: boolean };
}

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

const exitCodes = {
  done: 0,
  failed: 1,
  wrongUse: 2,
  noBackup: 3,
  verificationFailed: 4,
  notEverywhere: 5,
  interrupted: 130,
} as const;

const exitWords = [
  [exitCodes.done, 'done'],
  [exitCodes.failed, 'failed'],
  [exitCodes.wrongUse, 'wrong use or configuration'],
  [exitCodes.noBackup, 'no such backup'],
  [exitCodes.verificationFailed, 'verification failed'],
  [exitCodes.notEverywhere, 'stored locally but not at every target'],
  [exitCodes.interrupted, 'interrupted'],
] as const;

function exitCodeOf(code: ErrorCode): number {
  switch (code) {
    case 'BAD_CONFIG':
    case 'BAD_REQUEST':
    case 'BAD_NAME':
    case 'TARGET_EXISTS':
    case 'UNSUPPORTED':
      return exitCodes.wrongUse;
    case 'GONE':
    case 'NO_BACKUP':
    case 'NOTHING_TO_UNDO':
      return exitCodes.noBackup;
    case 'DRILL_FAILED':
    case 'VERIFY_FAILED':
    case 'BAD_BACKUP':
    case 'DB_DAMAGED':
    case 'NOT_SQLITE':
      return exitCodes.verificationFailed;
    case 'ABORTED':
      return exitCodes.interrupted;
    default:
      return exitCodes.failed;
  }
}

export interface Session {
  readonly service: CliService;
  /** Its name, as one of several. */
  readonly database?: string;
  /** Where there are several and none was picked. */
  readonly all?: CliDatabases;
  readonly output: Output;
  readonly now: () => Date;
  /** Undefined where nobody can be asked. */
  readonly ask: Ask | undefined;
  /** Aborted when the user interrupts. */
  readonly signal: AbortSignal;
}
type Work = (session: Session) => Promise<number>;
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
  const allowPlain = ['--allow-plain', 'also a copy that is not encrypted, where copies there are to be'] as const;
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
    .option('--at <time>', 'the newest backup that is not later than this time')
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

interface VerifyOptions {
  readonly full?: boolean;
  readonly from?: TargetName;
  readonly identity?: string;
  readonly allowPlain?: boolean;
}

async function verifyBackup({ service, output }: Session, wanted: string, options: VerifyOptions): Promise<number> {
  const { full = false, from, allowPlain } = options;
  const identity = readIdentity(options.identity);
  const found = await findBackup({ service, output }, wanted, { from });
  if (found.kind === 'file') {
    const { ok, detail, ...remarks } = await service.verifyFile(found.path, { full });
    output.answer(
      { path: found.path, ok, detail, method: full ? 'full' : 'quick', ...remarks },
      ok ? withRemarks(`${found.path} is good.`, remarkTexts(remarks)) : `${found.path} is damaged: ${detail}`,
    );
    return ok ? exitCodes.done : exitCodes.verificationFailed;
  }
  const { filename } = found.backup;
  const backup = await service.verifyBackup(filename, {
    ...{ full, from, identity, allowPlain },
    onProgress: output.progress.show,
  });
  const { verification } = backup;
  const good = verification.state === 'verified';
  const detail = verification.state === 'damaged' ? `: ${verification.detail}` : '';
  output.answer(
    backup,
    good
      ? withRemarks(`${filename} is good (${verification.method} check).`, remarkTexts(verification))
      : `${filename} is ${verification.state}${detail}`,
  );
  return good ? exitCodes.done : exitCodes.verificationFailed;
}

/** The verdict first; what is said beside it does not change it. */
function withRemarks(verdict: string, remarks: readonly string[]): string {
  return [verdict, ...remarks.map((text) => `  ${text}`)].join('\n');
}

interface RestoreOptions extends ReplaceOptions {
  readonly to?: string;
  readonly online?: boolean;
  readonly inPlace?: boolean;
  readonly at?: string;
  readonly ifMissing?: boolean;
  readonly from?: TargetName;
  readonly fromOther?: boolean;
  readonly identity?: string;
  readonly allowPlain?: boolean;
}

async function restoreBackup(session: Session, wanted: string | undefined, options: RestoreOptions): Promise<number> {
  const { service, output } = session;
  const identity = readIdentity(options.identity);
  const isReplacing = options.online === true || options.inPlace === true;
  const mayBeOther = !isReplacing || options.fromOther === true;
  const found = await chooseBackup(session, wanted, { ...options, mayBeOther });
  const { from, allowPlain } = options;
  const copy = { from, identity, allowPlain, onProgress: output.progress.show };
  const source = found.kind === 'file' ? found.path : found.backup.filename;
  const { databasePath } = service.getConfig();
  if (isReplacing) {
    const { fromOther } = options;
    const mode = options.online ? 'online' : 'offline';
    // Before anybody is asked; the service refuses it too, and a file as well.
    if (found.kind === 'backup' && found.backup.other && !fromOther && !options.dryRun)
      throw foreignBackup(found.backup.filename, found.backup.other, basename(databasePath));
    const replace = (given: ReplaceGiven) => service.restore(source, { ...copy, ...given, fromOther });
    const result = await replaceDatabase(service, { source, mode, copy, replace }, options, session);
    if (result) output.answer(result, restoredText(result) + whoseText(found, databasePath));
    return exitCodes.done;
  }
  const to = options.to ?? newFileBeside(databasePath, found, session.now());
  if (options.dryRun) {
    const dryRun = { dryRun: true, mode: 'file', backup: basename(source), path: to, plan: null } as const;
    answerDryRun(output, dryRun, `Would restore ${dryRun.backup} to ${to}; nothing is replaced.`);
    return exitCodes.done;
  }
  const result = await service.restore(source, { ...copy, mode: 'file', to });
  output.answer(result, restoredText(result) + whoseText(found, databasePath));
  return exitCodes.done;
}

/** Where there is no database, nothing can be mixed up: a new machine knows no name yet. */
function whoseText(found: Found, databasePath: string): string {
  const other = found.kind === 'backup' && existsSync(databasePath) ? found.backup.other : null;
  return other ? `\nIt is a backup of another database, ${other.name}.` : '';
}

async function restoreIfMissing(
  { service, output }: Session,
  wanted: string | undefined,
  { identity: identityFile, fromOther, allowPlain }: RestoreOptions,
): Promise<number> {
  if (wanted !== undefined) throw wrongUse('--if-missing chooses the backup itself; leave its name out');
  const result = await service.restoreIfMissing({
    ...{ identityFile, fromOther, allowPlain },
    onProgress: output.progress.show,
  });
  output.answer(result, firstBootText(result));
  return exitCodes.done;
}

/** The key goes to the job that needs it, and nowhere else. */
function readIdentity(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new BackupError('BAD_REQUEST', `the identity file ${path} can't be read`, {
      hint: 'Name the file that age-keygen wrote, with the private key.',
      cause,
    });
  }
}

interface UndoOptions extends ReplaceOptions {
  readonly online?: boolean;
  readonly inPlace?: boolean;
}

async function undoRestore(session: Session, options: UndoOptions): Promise<number> {
  const { service, output } = session;
  const onProgress = output.progress.show;
  const mode = options.inPlace ? 'offline' : 'online';
  const { undo } = await service.getStatus();
  const replace = (given: Partial<ReplaceGiven>) => service.undoRestore({ mode, ...given, onProgress });
  // Without one the service says what there is instead.
  const result = undo
    ? await replaceDatabase(service, { source: undo.filename, mode, copy: { onProgress }, replace }, options, session)
    : await replace({});
  if (result) output.answer(result, restoredText(result));
  return exitCodes.done;
}

interface ClaimOptions {
  readonly target?: TargetName;
}

async function claim({ service, output }: Session, options: ClaimOptions): Promise<number> {
  const result = await service.claim(options);
  output.answer(result, claimText(result));
  return exitCodes.done;
}

function claimText({ place, changed, before, ours, others, sparesUntil, databaseId }: ClaimResult): string {
  if (!changed) {
    return databaseId === null || ours + others === 0
      ? `${place} is of no other database; the first backup makes it this one's.`
      : `${place} belongs to this database already.`;
  }
  const whose = before ? `, which was of ${before.name},` : '';
  const spared = sparesUntil ? ` None of them is removed before ${sparesUntil.toISOString()}.` : '';
  const rest = others > 0 ? ` ${others} stay as backups of other databases.` : '';
  return `${place}${whose} belongs to this database now, and ${ours} backup${ours === 1 ? '' : 's'} there with it.${spared}${rest}`;
}

async function adoptBackup({ service, output }: Session, filename: string): Promise<number> {
  const backup = await service.adoptBackup(filename);
  output.answer(backup, `${backup.filename} is now in the catalog.`);
  return exitCodes.done;
}

interface PruneOptions {
  readonly dryRun?: boolean;
  readonly target?: TargetName;
}

async function prune({ service, output }: Session, options: PruneOptions): Promise<number> {
  const result = await service.prune(options);
  output.answer(result, pruneText(result));
  return survivorsOf(result).length === 0 ? exitCodes.done : exitCodes.failed;
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

interface DrillOptions {
  readonly from?: TargetName;
  readonly identity?: string;
  readonly allowPlain?: boolean;
}

async function drill({ service, output }: Session, options: DrillOptions): Promise<number> {
  const { from, allowPlain } = options;
  const identity = readIdentity(options.identity);
  const report = await service.drill({
    ...{ target: from, identity, allowPlain, trigger: 'cli' },
    onProgress: output.progress.show,
  });
  output.answer(report, report.drills.map(drillText).join('\n'));
  const error = report.drills.find(({ result }) => result === 'failed' || result === 'stopped')?.error;
  return error ? exitCodeOf(error.code) : exitCodes.done;
}

const showStatus: Work = async ({ service, output, now }) => {
  const status = await service.getStatus();
  output.answer(status, statusText(status, now()));
  return statusExitCode(status);
};

/** 0 only when all is well, so that `velist-backup status || …` may raise the alarm. */
function statusExitCode({ freshness: { state, cause }, local }: Status): number {
  if (state === 'protected') return exitCodes.done;
  if (state === 'unprotected' && local.count === 0) return exitCodes.noBackup;
  if (cause === 'damaged') return exitCodes.verificationFailed;
  if (state === 'unprotected') return exitCodes.noBackup;
  return state === 'at-risk' && elsewhereCauses.has(cause) ? exitCodes.notEverywhere : exitCodes.failed;
}

/** The local backups are good; a copy elsewhere is missing, or may be. */
const elsewhereCauses: ReadonlySet<VerdictCode> = new Set(['s3-waiting', 'other-writer', 'cloned']);

type Found =
  { readonly kind: 'backup'; readonly backup: BackupItem } | { readonly kind: 'file'; readonly path: string };

interface Choice {
  readonly from: TargetName | undefined;
  /** If there is no backup of ours and those of one other database, the newest of those may be chosen. */
  readonly mayBeOther?: boolean;
}

async function chooseBackup(
  session: Pick<Session, 'service' | 'output'>,
  wanted: string | undefined,
  { at, from, mayBeOther }: Pick<RestoreOptions, 'at' | 'from'> & Pick<Choice, 'mayBeOther'>,
): Promise<Found> {
  if (at === undefined) {
    if (wanted !== undefined) return findBackup(session, wanted, { from, mayBeOther });
    throw wrongUse('say which backup: its name, "latest", a path, or --at TIME');
  }
  if (wanted !== undefined && wanted !== 'latest') throw wrongUse('--at chooses the backup itself; leave its name out');
  const time = parseTime(at);
  const backup = await newest(session, { from, mayBeOther }, (item) => {
    return item.createdAt <= time && item.verification.state !== 'damaged';
  });
  if (!backup) throw noBackup(`there is no backup from ${time.toISOString()} or before`);
  return { kind: 'backup', backup };
}

/** A name of the catalog, `latest` (the newest verified backup), or a path to a file. */
async function findBackup(
  session: Pick<Session, 'service' | 'output'>,
  wanted: string,
  choice: Choice,
): Promise<Found> {
  const { from } = choice;
  if (wanted === 'latest') {
    // A safety backup holds what a restore replaced on purpose; it comes back by its name or by `undo`.
    // One whose file was changed is checked against its digest before anything is done with it.
    const backup = await newest(session, choice, (item) => (item.verified || isChanged(item)) && !item.safety);
    if (!backup)
      throw noBackup(
        `there is no verified backup ${from === undefined || from === 'local' ? 'yet' : `on ${targetWord(from)}`}`,
      );
    return { kind: 'backup', backup };
  }
  const backups = await session.service.getBackups({ target: from });
  const backup = backups.find(({ filename }) => filename === wanted);
  if (backup) return { kind: 'backup', backup };
  if (from !== undefined)
    throw noBackup(`there is no backup ${wanted} ${from === 'local' ? 'here' : `on ${targetWord(from)}`}`);
  if (existsSync(wanted)) return { kind: 'file', path: wanted };
  throw noBackup(`there is no backup and no file named ${wanted}`);
}

function isChanged({ verification }: BackupItem): boolean {
  return verification.state === 'unchecked' && verification.changedAt !== undefined;
}

/**
 * The newest of this database, wherever it lies: the service lists newest first, by sequence, so a clock that jumped back
 * does not change that order. A target that does not answer is told, and what is there alone is left out.
 *
 * @throws BackupError FOREIGN_PLACE when there are backups of other databases alone.
 */
async function newest(
  { service, output }: Pick<Session, 'service' | 'output'>,
  { from, mayBeOther = false }: Choice,
  isWanted: (item: BackupItem) => boolean,
): Promise<BackupItem | undefined> {
  const silent = new Map<TargetName, ErrorBody>();
  const onSilent = (target: TargetName, error: ErrorBody) => silent.set(target, error);
  const listed = await service.getBackups(from === undefined ? { recent: true, onSilent } : { target: from });
  const isNear = ({ placements }: BackupItem) => placements.some(({ target }) => !silent.has(target));
  const wanted = listed.filter(isWanted);
  const own = wanted.filter(({ other }) => !other);
  const backup = own.find(isNear);
  for (const [target, error] of silent) {
    const newer = own[0] !== undefined && own[0] !== backup ? ` ${own[0].filename} was seen there and is newer.` : '';
    output.note(`${targetWord(target)} could not be asked for its newest backup: ${error.message}.${newer}`);
  }
  if (backup || own.length > 0) return backup;
  const others = wanted.filter(isNear);
  const names = [...new Set(others.map(({ other }) => other?.name ?? ''))];
  if (names.length === 0) return undefined;
  if (names.length === 1 && mayBeOther) return others[0];
  throw new BackupError('FOREIGN_PLACE', `the backups there are of other databases: ${names.join(', ')}`, {
    hint: 'Nothing was changed. Name one of `velist-backup list` and restore it to a new file with --to.',
  });
}

/** ISO 8601; without a zone it is local time, also for a day alone (where `Date` would take UTC). */
function parseTime(text: string): Date {
  const iso = /^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T23:59:59.999` : text.replace(/^(\d{4}-\d{2}-\d{2}) /, '$1T');
  const time = new Date(iso);
  if (/^\d{4}-\d{2}-\d{2}T/.test(iso) && !Number.isNaN(time.getTime())) return time;
  throw wrongUse(`--at ${text} is not a time; write it as 2024-01-15T10:30, or with a zone as 2024-01-15T10:30:00Z`);
}

/** `dev.restored-<moment of the backup>.sqlite` beside the database; with a number when it is there already. */
function newFileBeside(databasePath: string, found: Found, now: Date): string {
  const stamp = (found.kind === 'backup' ? found.backup.createdAt : now).toISOString().replace(/[:.]/g, '-');
  const name = basename(databasePath, extname(databasePath));
  const path = join(dirname(databasePath), `${name}.restored-${stamp}`);
  let free = `${path}.sqlite`;
  for (let number = 2; existsSync(free) && number <= MAX_RESTORED_FILES; number++) free = `${path}-${number}.sqlite`;
  return free;
}
/** Restores of one backup beside each other; the next one is refused by the service. */
const MAX_RESTORED_FILES = 100;

function firstBootText(result: FirstBoot): string {
  switch (result.outcome) {
    case 'present':
      return `${result.path} is there; nothing was brought back.`;
    case 'restored':
      return [
        `Restored ${result.backup} (${result.from}) to ${result.path}, which was missing.`,
        ...result.skipped.map(({ filename, from, reason }) => `Not brought back: ${filename} (${from}): ${reason}.`),
      ].join('\n');
    case 'first-boot':
      return `No backup, first boot: there is none in ${result.looked.join(' and none in ')}.`;
  }
}

function survivorsOf({ kept, dryRun }: PruneResult): PruneResult['kept'] {
  return dryRun ? [] : kept.filter(({ reasons }) => reasons.includes(SURVIVED));
}

function pruneText(result: PruneResult): string {
  const { kept, removed, dryRun } = result;
  const stays = dryRun ? kept.map(({ filename, reasons }) => `would keep   ${filename} (${reasons.join('; ')})`) : [];
  const goes = removed.map(({ filename, reason }) => `${dryRun ? 'would remove' : 'removed'} ${filename} (${reason})`);
  const survived = survivorsOf(result).map(({ filename }) => `KEPT    ${filename} (${SURVIVED})`);
  return [
    ...stays,
    ...goes,
    ...survived,
    `${kept.length} kept, ${removed.length} ${dryRun ? 'to remove' : 'removed'}`,
  ].join('\n');
}

function drillText({ target, result, backup, ms, assertions, remarks = [], error }: TargetDrill): string {
  const seconds = `${(ms / 1_000).toFixed(1)} s`;
  const held = assertions === 0 ? '' : `, ${assertions} assertion${assertions === 1 ? '' : 's'} held`;
  switch (result) {
    case 'proven':
      return withRemarks(`${target}: ${backup} was restored and proven in ${seconds}${held}.`, remarks);
    case 'sealed':
      return `${target}: ${backup} is what was stored. Its content was not opened: name the private key with --identity.`;
    case 'stopped':
      return `${target}: stopped.`;
    case 'failed':
      return `${target}: FAILED${backup === null ? '' : `, ${backup}`}: ${error?.message ?? 'no reason was given'}\n${error?.hint ?? ''}`;
  }
}

function provenText({ target, proven, drill }: TargetFreshness, now: Date): string {
  const at = (moment: Date) => agoText(moment, now);
  const last = proven === null ? 'never' : `${at(proven.at)}, ${(proven.ms / 1_000).toFixed(1)} s`;
  const failed = drill?.result === 'failed' ? `; the drill ${at(drill.at)} FAILED` : '';
  const sealed = drill?.result === 'sealed' ? `; ${at(drill.at)} all but the content, for want of the key` : '';
  return `${last}${failed}${sealed} (${target})`;
}

function statusText(status: Status, now: Date): string {
  const { lastGood, schedule, local, s3, targets, freshness } = status;
  const ago = (moment: Date | null) => (moment === null ? 'never' : agoText(moment, now));
  const { state } = freshness;
  const { code } = status.verdict;
  const each = (moment: (target: TargetFreshness) => Date | null) =>
    freshness.targets.map((target) => `${ago(moment(target))} (${target.target})`).join('; ');
  const changed = freshness.changedAt === null ? '' : `, changed ${ago(freshness.changedAt)}`;
  const further = targets.filter(({ target }) => target !== 's3');
  const rows = [
    ['status', code === state ? state : `${state} (${code})`],
    ['state', state],
    ...(status.loss ? [['loss', `${lossText(status.loss)} (${status.loss.filename})`]] : []),
    [
      'database',
      `${status.database.path}${status.database.exists ? `, ${sizeText(status.database.sizeBytes)}${changed}` : ', missing'}`,
    ],
    ['last good', lastGood ? `${lastGood.filename}, ${ago(lastGood.createdAt)}` : 'none'],
    ['good', each(({ goodAt }) => goodAt)],
    ['checked', each(({ verifiedAt }) => verifiedAt)],
    ['proven', status.freshness.targets.map((target) => provenText(target, now)).join('; ')],
    ['schedule', schedule.enabled ? (schedule.cron ?? `every ${schedule.intervalMinutes} minutes`) : 'off'],
    [
      'local',
      `${local.path}, ${local.count} backup${local.count === 1 ? '' : 's'}, ${sizeText(local.sizeBytes)}, ${sizeText(local.freeBytes)} free`,
    ],
    ['s3', s3.enabled ? remoteText({ ...s3, ...targets.find(({ target }) => target === 's3') }, now) : 'off'],
    ...further.map((target) => [target.target, remoteText(target, now)]),
    ...status.places.flatMap(placeRow),
    ...status.places.flatMap((place) => writerRows(place, now)),
  ];
  const width = Math.max(10, ...rows.map(([name = '']) => name.length));
  const lines = rows.map(([name = '', value = '']) => `${name.padEnd(width)} ${value}`);
  return [...lines, ...(freshness.cause === 'missing' ? [missingText(status, now)] : [])].join('\n');
}

function missingText({ database, lastGood }: Status, now: Date): string {
  const newest = lastGood ? `${lastGood.filename}, ${agoText(lastGood.createdAt, now)}` : 'none';
  return `${database.name} is missing. Newest good backup: ${newest}.${lastGood ? `\n${BRING_BACK}` : ''}`;
}

/** Only where there is something to say. */
function writerRows({ target, writer, sparesOthersUntil }: PlaceStatus, now: Date): readonly (readonly string[])[] {
  const word = targetWord(target);
  const ago = (moment: Date) => `${durationText(now.getTime() - moment.getTime())} ago`;
  const rows: string[][] = [];
  if (writer) {
    const who = writer.kind === 'clone' ? `a copy of this machine (${writer.host})` : writer.host;
    const does = writer.kind === 'clone' ? 'wants to write' : 'writes';
    const seen = writer.seenAt === null ? '' : `, seen ${ago(writer.seenAt)}`;
    rows.push([
      'writer',
      `${word}: ${who} ${does} there since ${ago(writer.since)}${seen}; velist-backup doctor says what to do`,
    ]);
  }
  if (sparesOthersUntil)
    rows.push(['spares', `${word}: what other installations made stays until ${sparesOthersUntil.toISOString()}`]);
  return rows;
}

function placeRow({ target, owner, other }: Status['places'][number]): string[][] {
  if (owner === 'mixed')
    return [['identity', `${target} holds backups of several databases, told apart by their manifests`]];
  if (!other) return [];
  const since = other.createdAt === null ? '' : ` since ${other.createdAt.toISOString()}`;
  return [['identity', `${target} belongs to another database, ${other.name}${since}; nothing is written there`]];
}

/** `my-backups/backups/database, 9 stored`, or what it waits for first: `waiting for 3 uploads, next try in 40 s: …; …` */
function remoteText(
  {
    bucket,
    path,
    stored,
    waiting,
    nextTryAt,
    error,
    listedAt,
    lifecycleDays,
  }: Omit<Status['s3'], 'configured'> & Pick<TargetStatus, 'lifecycleDays'>,
  now: Date,
): string {
  const seen = listedAt === null ? '' : ` (seen ${agoText(listedAt, now)})`;
  const removal = !lifecycleDays ? '' : `, removal is left to the bucket after ${lifecycleDays} days`;
  const there = `${bucket ?? ''}/${path}, ${stored} stored${seen}${removal}`;
  const why = error === null ? '' : `: ${error.message}`;
  if (waiting === 0) return there + (error === null ? '' : `; can't be used${why}`);
  const waitMs = nextTryAt === null ? 0 : nextTryAt.getTime() - now.getTime();
  const next = waitMs > 0 ? `, next try in ${durationText(waitMs)}` : '';
  return `waiting for ${waiting} upload${waiting === 1 ? '' : 's'}${next}${why}; ${there}`;
}

function wrongUse(message: string): BackupError {
  return new BackupError('BAD_REQUEST', message, { hint: 'See `velist-backup --help`.' });
}

function noBackup(message: string): BackupError {
  return new BackupError('NO_BACKUP', message, { hint: 'See `velist-backup list`.' });
}

/** The package's own, found two folders up from `src/cli` and from `dist/cli`. */
function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version }: { version?: unknown } = JSON.parse(text);
  return String(version);
}
