/** What the command line says of `rescue`. */

export const rescueVerb = {
  rescue: {
    usage: 'rescue [from]',
    what: 'bring rows back from a backup or a captured moment while the app goes on; or list rescues, or undo one',
    options: [
      { flags: '--table <tables...>', what: 'tables whose removed rows come back' },
      { flags: '--at <time>', what: 'from the newest backup, or the captured moment, of that time' },
      { flags: '--key <keys...>', what: 'only these rows of one table: the key of each' },
      { flags: '--changed', what: 'rows that were changed, too' },
      {
        flags: '--conflicts <rule>',
        what: 'rows that differ in the live database: keep them (default), take those of the backup, or stop',
        choices: ['keep', 'take', 'stop'],
      },
      { flags: '--since <point>', what: 'a later backup or moment: what still is as it was then is no conflict' },
      { flags: '--triggers', what: 'let triggers of the app fire for what is written' },
      { flags: '--without-needed', what: 'bring no rows along that others need by a foreign key' },
      { flags: '--list', what: 'the rescues of the last 30 days', conflicts: ['undo'] },
      {
        flags: '--undo <id>',
        what: 'take a rescue back; what others changed since is left alone',
        conflicts: ['list'],
      },
      { flags: '--yes', what: 'do not ask' },
      { flags: '--dry-run', what: 'only say what would be done' },
    ],
    examples: [
      ['velist-backup rescue latest --table orders --dry-run', 'which removed orders would come back'],
      ['velist-backup rescue --at "today 14:00" --table orders customers', 'all that were removed since 14:00'],
      ['velist-backup rescue latest --table products --key 7 9 --conflicts take', 'two rows as they were'],
      ['velist-backup rescue --list', 'what was rescued'],
      ['velist-backup rescue --undo 20240115t103000-0123456789ab', 'take that one back'],
    ],
  },
} as const;
