/**
 * What the program says of itself: its verbs, their options and what people type, in one place to be read in one sitting.
 * The command line, `--help`, the manual page and the completions are all made of it; tests hold that each example is
 * understood.
 */
import { MOMENT_FORMS } from '../../words/moment.ts';
import { rescueVerb } from './help-rescue.ts';

interface OptionText {
  /** `--to <path>` */
  readonly flags: string;
  readonly what: string;
  /** Options that exclude this one, as commander names them. */
  readonly conflicts?: readonly string[];
  readonly choices?: readonly string[];
  /** An earlier name, which still works. */
  readonly isHidden?: boolean;
}

interface VerbText {
  /** What is written behind the program's name. */
  readonly usage: string;
  readonly what: string;
  readonly options?: readonly OptionText[];
  readonly examples: readonly (readonly [command: string, what: string])[];
}

export const about = 'Consistent, verified, restorable backups of a SQLite database in use.';

export const globalOptions: readonly OptionText[] = [
  {
    flags: '--config <file>',
    what: 'configuration file (default: velist-backup.config.ts, .js or .mjs in this folder, if there is one)',
  },
  {
    flags: '--database <path>',
    what: 'database to work on (default: DATABASE_URL); with several databases, the name or path of one',
  },
  { flags: '--backups <dir>', what: 'backup folder (default: BACKUP_LOCAL_PATH)' },
  { flags: '--json', what: 'print one JSON document on standard output and everything else on standard error' },
  { flags: '--quiet', what: 'print errors only' },
];

const identity = { flags: '--identity <file>', what: 'age private key that opens an encrypted copy' };
const allowPlain = {
  flags: '--allow-plain',
  what: 'accept an unencrypted copy even if copies there should be encrypted',
};
const yes = { flags: '--yes', what: 'do not ask' };
const dryRun = { flags: '--dry-run', what: 'only say what would be done' };

export const verbs = {
  backup: {
    usage: 'backup',
    what: 'make a backup now',
    examples: [
      ['velist-backup backup', 'back up the database that DATABASE_URL names'],
      ['velist-backup backup --database app.sqlite --backups /mnt/backups', 'another database, another folder'],
      ['velist-backup backup --json', 'for a script'],
    ],
  },
  list: {
    usage: 'list',
    what: 'list the backups, newest first',
    options: [
      {
        flags: '--target <target>',
        what: 'only the backups at this target (local, s3 or another one), which is asked now',
      },
    ],
    examples: [
      ['velist-backup list', 'every known backup, here and at each target'],
      ['velist-backup list --target s3', 'what is on S3 now'],
    ],
  },
  verify: {
    usage: 'verify <backup>',
    what: 'check a backup: its name, "latest", or the path of any SQLite file',
    options: [
      { flags: '--full', what: 'run integrity_check instead of quick_check' },
      { flags: '--from <target>', what: 'which copy to check (default: the local one if there is one)' },
      identity,
      allowPlain,
    ],
    examples: [
      ['velist-backup verify latest', 'the newest backup: its digest and quick_check'],
      ['velist-backup verify latest --full', 'also compare indexes with their tables'],
      ['velist-backup verify old.sqlite', 'any SQLite file that nobody writes to'],
    ],
  },
  restore: {
    usage: 'restore [backup]',
    what: 'restore a backup (its name, "latest", or a path), into a new file by default',
    options: [
      { flags: '--to <path>', what: 'restore into this file, which must not exist' },
      { flags: '--online', what: 'replace the database while programs use it', conflicts: ['to', 'inPlace'] },
      {
        flags: '--in-place',
        what: 'replace the database while no program uses it, or put it back if it is missing',
        conflicts: ['to', 'online'],
      },
      {
        flags: '--at <time>',
        what: `take the newest backup or captured moment that is not later: ${MOMENT_FORMS}; local time unless it names a zone; or a bookmark, or a mark`,
      },
      {
        flags: '--if-missing',
        what: 'restore the newest state there is, a captured moment or a good backup, from here or a target, only if the database is missing; for the start of a container',
        conflicts: ['to', 'online', 'inPlace', 'at', 'from', 'dryRun'],
      },
      {
        flags: '--from <target>',
        what: 'restore only from this target; s3 also works on a machine that has nothing but the S3 variables',
      },
      { flags: '--from-other', what: 'allow a backup of another database to replace this one' },
      identity,
      allowPlain,
      yes,
      dryRun,
    ],
    examples: [
      ['velist-backup restore latest --to /tmp/yesterday.sqlite', 'into a new file'],
      ['velist-backup restore --at 2024-01-15T10:30 --online', 'replace the database while the app runs'],
      ['velist-backup restore --at "yesterday 18:00" --to /tmp/before.sqlite', 'the state at that time, in local time'],
      ['velist-backup restore latest --in-place --dry-run', 'what it would do while the app is stopped'],
      [
        'velist-backup restore latest --from s3 --in-place --identity key.txt',
        'on a new machine, before the app starts',
      ],
      ['velist-backup restore --if-missing', 'in the entry point of a container'],
    ],
  },
  claim: {
    usage: 'claim',
    what: 'declare that the backups there belong to this database, after a move, a rename or a lost state',
    options: [{ flags: '--target <target>', what: 'where (default: local)' }],
    examples: [
      ['velist-backup claim', 'the backup folder, after the database was moved or renamed'],
      ['velist-backup claim --target s3', 'the prefix on S3'],
    ],
  },
  undo: {
    usage: 'undo',
    what: 'undo the last restore that replaced the database',
    options: [
      { flags: '--online', what: 'while programs use the database (default)', conflicts: ['inPlace'] },
      { flags: '--in-place', what: 'while no program uses the database', conflicts: ['online'] },
      yes,
      dryRun,
    ],
    examples: [
      ['velist-backup undo', 'bring back what the last restore replaced'],
      ['velist-backup undo --in-place --dry-run', 'what that would do while the app is stopped'],
    ],
  },
  ...rescueVerb,
  adopt: {
    usage: 'adopt <backup>',
    what: 'verify a backup that was made by hand or by Velist, or any database file, and add it to the catalog',
    examples: [
      ['velist-backup adopt backup-2024-01-15T10-30-00-000Z.sqlite', 'a file that was put into the folder by hand'],
      ['velist-backup adopt ./shop-copy.sqlite', 'a copy of a file from elsewhere, pinned'],
    ],
  },
  pin: {
    usage: 'pin <backup>',
    what: 'keep a backup (its name, or "latest") whatever retention says',
    options: [{ flags: '--note <text>', what: 'with this note' }],
    examples: [
      ['velist-backup pin latest --note "before the migration"', 'the newest good backup stays until it is unpinned'],
    ],
  },
  unpin: {
    usage: 'unpin <backup>',
    what: 'let retention decide on a pinned backup again',
    examples: [['velist-backup unpin backup-2024-01-15T10-30-00-000Z.sqlite', 'it may be removed from now on']],
  },
  note: {
    usage: 'note <backup> [text]',
    what: 'write a note on a backup, or remove it',
    options: [{ flags: '--remove', what: 'remove the note' }],
    examples: [
      ['velist-backup note latest "audit of January"', 'shown by `list` and on the page'],
      ['velist-backup note latest --remove', 'without a note'],
    ],
  },
  delete: {
    usage: 'delete <backup>',
    what: 'delete a backup everywhere, after asking; a script must say --yes',
    options: [{ flags: '--target <target>', what: 'only its copy there' }, yes],
    examples: [
      ['velist-backup delete backup-2024-01-15T10-30-00-000Z.sqlite --yes', 'its copy here and those at all targets'],
      ['velist-backup delete backup-2024-01-15T10-30-00-000Z.sqlite --target local --yes', 'only its copy here'],
    ],
  },
  prune: {
    usage: 'prune',
    what: 'remove the backups that the retention policy does not keep',
    options: [
      { flags: '--dry-run', what: 'only say what would be removed, and why each of the others stays' },
      { flags: '--target <target>', what: 'where (default: local); another target is asked now' },
    ],
    examples: [
      ['velist-backup prune --dry-run', 'each backup, with the reason why it stays or goes'],
      ['velist-backup prune --target s3', 'remove from S3 what its policy does not keep'],
    ],
  },
  diff: {
    usage: 'diff <a> <b>',
    what: 'compare tables, rows and schema of two backups: their names, or "latest"',
    examples: [
      ['velist-backup diff backup-2024-01-15T10-30-00-000Z.sqlite latest', 'what changed since then, table by table'],
    ],
  },
  'accept-loss': {
    usage: 'accept-loss [backup]',
    what: 'confirm that a loss was intended: its alarm ends, and older backups may be removed again',
    options: [
      { flags: '--ignore-tables', what: 'these tables are emptied regularly: raise no alarm for them from now on' },
    ],
    examples: [
      ['velist-backup accept-loss', 'the loss that `status` reports was intended'],
      ['velist-backup accept-loss --ignore-tables', 'and its tables are emptied regularly'],
    ],
  },
  'test-target': {
    usage: 'test-target [target]',
    what: 'try everything that backups need at a target (default: the first one), and remove the traces',
    examples: [
      ['velist-backup test-target', 'everything that backups need from the first target'],
      ['velist-backup test-target local', 'the same for the backup folder'],
    ],
  },
  drill: {
    usage: 'drill',
    what: 'rehearse a restore: bring the newest backup of each target, and a random captured moment, back to a hidden place, check it and remove it',
    options: [
      { flags: '--at <moment>', what: 'only this captured moment: a time, a bookmark or a mark' },
      { flags: '--from <target>', what: 'only from this target (default: every one that is on)' },
      { flags: '--without <backup>', what: 'pass over this backup: try the one before it' },
      identity,
      allowPlain,
    ],
    examples: [
      ['velist-backup drill', 'every target that is on'],
      ['velist-backup drill --at "10:31"', 'one captured moment'],
      ['velist-backup drill --from s3 --identity key.txt', 'open an encrypted copy too'],
    ],
  },
  doctor: {
    usage: 'doctor',
    what: 'report what is wrong, or may go wrong, with this setup; exits 1 when somebody should act',
    options: [
      { flags: '--targets', what: 'ask the targets too, as test-target does (default while one is on)' },
      { flags: '--s3', what: 'the earlier name of --targets', isHidden: true },
    ],
    examples: [
      ['velist-backup doctor', 'look at everything'],
      ['velist-backup doctor --json', 'for a script; exits 1 when somebody should act'],
    ],
  },
  status: {
    usage: 'status',
    what: 'report whether the database is protected; exits 0 only when it is',
    examples: [
      ['velist-backup status', 'how things are'],
      ['velist-backup status --quiet', 'the exit code alone, for a monitor'],
    ],
  },
  moments: {
    usage: 'moments',
    what: 'list what continuous backup can restore: from when to when, how finely, and the marks',
    options: [
      { flags: '--from <target>', what: 'of the copy of the stream at this target, which is asked now' },
      identity,
      allowPlain,
    ],
    examples: [
      ['velist-backup moments', 'from when to when, how finely, and the marks'],
      ['velist-backup moments --from s3', 'what could be restored if this machine were lost'],
    ],
  },
  mark: {
    usage: 'mark <name>',
    what: 'give a name to everything that is committed now, for restore --at',
    examples: [['velist-backup mark "before import 42"', 'then: velist-backup restore --at "before import 42"']],
  },
  pause: {
    usage: 'pause',
    what: 'let go of the database: no commit is captured until resume',
    examples: [['velist-backup pause', 'so that the app can leave WAL mode']],
  },
  resume: {
    usage: 'resume',
    what: 'capture commits again',
    examples: [['velist-backup resume', 'what was committed meanwhile becomes one moment']],
  },
  log: {
    usage: 'log',
    what: 'show the latest runs, newest first: backups, checks, restores, uploads, drills',
    options: [
      { flags: '--limit <count>', what: 'at most this many runs (default: 20)' },
      {
        flags: '--kind <kind>',
        what: 'only runs of this kind',
        choices: ['backup', 'verify', 'restore', 'undo', 'upload', 'drill', 'rescue', 'undo-rescue'],
      },
      { flags: '--failed', what: 'only those that failed' },
    ],
    examples: [
      ['velist-backup log', 'the last twenty runs'],
      ['velist-backup log --failed --limit 5', 'the last five that failed, with the reason'],
    ],
  },
  audit: {
    usage: 'audit',
    what: 'show who did what, when, from where and with what result, newest first',
    options: [
      { flags: '--since <time>', what: 'nothing earlier: a day, or a time as restore --at takes it' },
      { flags: '--limit <count>', what: 'at most this many entries (default: 100)' },
    ],
    examples: [
      ['velist-backup audit', 'the newest hundred entries'],
      ['velist-backup audit --since 2024-01-15 --json', 'that day and later, up to the limit, for a script'],
    ],
  },
  kit: {
    usage: 'kit',
    what: 'write down how to recover the data with standard programs if this one is gone; contains no secret',
    options: [
      {
        flags: '--output <file>',
        what: 'write to this file, which only its owner can read; replaces nothing but an earlier kit',
      },
    ],
    examples: [
      ['velist-backup kit', 'read it'],
      ['velist-backup kit --output kit.md', 'to keep elsewhere'],
    ],
  },
  config: {
    usage: 'config [setting] [value]',
    what: 'show the settings, or change one; a program that is running takes it over at its next start',
    options: [{ flags: '--revert', what: 'set it back to what the environment says' }],
    examples: [
      ['velist-backup config', 'every setting, and which were changed'],
      ['velist-backup config retentionCount 30', 'keep thirty'],
      ['velist-backup config retentionCount --revert', 'keep what BACKUP_RETENTION_COUNT says'],
      ['velist-backup config maxAgeMinutes automatic', 'three intervals, at least 15 minutes'],
    ],
  },
  serve: {
    usage: 'serve',
    what: 'run the schedule and the dashboard until interrupted',
    options: [
      {
        flags: '--restore-if-missing',
        what: 'first restore the newest good backup, from here or a target, if the database is missing',
      },
      identity,
      allowPlain,
    ],
    examples: [
      ['velist-backup serve', 'beside an app in any language'],
      ['velist-backup serve --restore-if-missing', 'in a container that may start empty'],
    ],
  },
  completion: {
    usage: 'completion',
    what: 'print the completion script of a shell: bash, zsh or fish',
    examples: [
      ['velist-backup completion bash > ~/.local/share/bash-completion/completions/velist-backup', 'for bash'],
      ['velist-backup completion zsh > ~/.zfunc/_velist-backup', 'for zsh, with ~/.zfunc in fpath'],
      ['velist-backup completion fish > ~/.config/fish/completions/velist-backup.fish', 'for fish'],
    ],
  },
  man: {
    usage: 'man',
    what: 'print the manual page',
    examples: [['velist-backup man > /usr/local/share/man/man1/velist-backup.1', 'then: man velist-backup']],
  },
  schema: {
    usage: 'schema',
    what: 'print the JSON Schema of what --json prints, by verb',
    examples: [['velist-backup schema', 'the documents of all verbs']],
  },
} as const satisfies Readonly<Record<string, VerbText>>;

export type Verb = keyof typeof verbs;

export function examplesText(verb: Verb): string {
  return `\nExamples:\n${verbs[verb].examples.map(([command, what]) => `  # ${what}\n  ${command}`).join('\n')}`;
}
