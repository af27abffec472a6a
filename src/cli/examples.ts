/** What people type, by verb: shown by `--help` and in the manual page. A test holds that each of them is understood. */
export const examples: Readonly<Record<string, readonly (readonly [command: string, what: string])[]>> = {
  backup: [
    ['velist-backup backup', 'back DATABASE_URL up now'],
    ['velist-backup backup --database app.sqlite --backups /mnt/backups', 'another database, another folder'],
    ['velist-backup backup --json', 'for a script'],
  ],
  list: [
    ['velist-backup list', 'all that is known, here and on S3'],
    ['velist-backup list --target s3', 'what is on S3 now'],
  ],
  verify: [
    ['velist-backup verify latest', 'the newest, by quick_check and its digest'],
    ['velist-backup verify latest --full', 'indexes against their tables too'],
    ['velist-backup verify old.sqlite', 'any SQLite file that nobody writes to'],
  ],
  restore: [
    ['velist-backup restore latest --to /tmp/yesterday.sqlite', 'into a new file'],
    ['velist-backup restore --at 2024-01-15T10:30 --online', 'over the database, while the app runs'],
    ['velist-backup restore --at "yesterday 18:00" --to /tmp/before.sqlite', 'what was there then, in local time'],
    ['velist-backup restore latest --in-place --dry-run', 'only what it would do, while the app is stopped'],
    ['velist-backup restore latest --from s3 --in-place --identity key.txt', 'on a new machine, before the app starts'],
    ['velist-backup restore --if-missing', 'in the entry point of a container'],
  ],
  undo: [
    ['velist-backup undo', 'back to what the last restore replaced'],
    ['velist-backup undo --in-place --dry-run', 'what that would do while the app is stopped'],
  ],
  claim: [
    ['velist-backup claim', 'the folder, after the database was moved or renamed'],
    ['velist-backup claim --target s3', 'the prefix on S3'],
  ],
  adopt: [
    ['velist-backup adopt backup-2024-01-15T10-30-00-000Z.sqlite', 'a file that was put into the folder by hand'],
  ],
  prune: [
    ['velist-backup prune --dry-run', 'each backup with the reason why it stays or goes'],
    ['velist-backup prune --target s3', 'remove on S3 what its policy does not keep'],
  ],
  diff: [
    ['velist-backup diff backup-2024-01-15T10-30-00-000Z.sqlite latest', 'what changed since then, table by table'],
  ],
  'accept-loss': [
    ['velist-backup accept-loss', 'the loss that `status` tells of was meant'],
    ['velist-backup accept-loss --ignore-tables', 'and its tables are emptied regularly'],
  ],
  'test-target': [
    ['velist-backup test-target', 'all that backups ask of the bucket'],
    ['velist-backup test-target local', 'the same of the folder'],
  ],
  drill: [
    ['velist-backup drill', 'each target that is on'],
    ['velist-backup drill --from s3 --identity key.txt', 'open an encrypted copy too'],
  ],
  doctor: [
    ['velist-backup doctor', 'look at everything'],
    ['velist-backup doctor --json', 'for a script; exits 1 when somebody should act'],
  ],
  moments: [['velist-backup moments', 'from when to when, how finely, and the marks']],
  mark: [['velist-backup mark "before import 42"', 'then `velist-backup restore --at "before import 42"`']],
  pause: [['velist-backup pause', 'so that the app can leave WAL mode']],
  resume: [['velist-backup resume', 'what was committed meanwhile becomes one moment']],
  status: [
    ['velist-backup status', 'how things are'],
    ['velist-backup status --quiet', 'the exit code alone, for a monitor'],
  ],
  audit: [
    ['velist-backup audit', 'the newest hundred acts'],
    ['velist-backup audit --since 2024-01-15 --json', 'all of that day and later, up to the limit, for a script'],
  ],
  kit: [
    ['velist-backup kit', 'read it'],
    ['velist-backup kit --output kit.md', 'to keep elsewhere'],
  ],
  serve: [
    ['velist-backup serve', 'beside an app in any language'],
    ['velist-backup serve --restore-if-missing', 'in a container that may start empty'],
  ],
  completion: [
    ['velist-backup completion bash > ~/.local/share/bash-completion/completions/velist-backup', 'for bash'],
    ['velist-backup completion zsh > ~/.zfunc/_velist-backup', 'for zsh, with ~/.zfunc in fpath'],
    ['velist-backup completion fish > ~/.config/fish/completions/velist-backup.fish', 'for fish'],
  ],
  man: [['velist-backup man > /usr/local/share/man/man1/velist-backup.1', 'then: man velist-backup']],
  schema: [['velist-backup schema', 'the documents of all verbs']],
};

export function examplesText(verb: string): string {
  const lines = (examples[verb] ?? []).map(([command, what]) => `  # ${what}\n  ${command}`);
  return lines.length === 0 ? '' : `\nExamples:\n${lines.join('\n')}`;
}
