/** The manual page, in the macros of `man(7)`, written from the definitions of the program. */
import type { DescribedOption, DescribedVerb, describe } from './description.ts';
import { exitWords } from '../exit-codes.ts';
import { type Verb, verbs as verbTexts } from './help.ts';

export function manPage({ global, verbs }: ReturnType<typeof describe>, version: string): string {
  return `${[
    `.TH VELIST-BACKUP 1 "" "velist-backup ${version}" "User Commands"`,
    '.SH NAME',
    'velist\\-backup \\- consistent, verified, restorable backups of a SQLite database in use',
    '.SH SYNOPSIS',
    '.B velist\\-backup',
    '.I verb',
    '[\\fIoptions\\fR]',
    '.SH DESCRIPTION',
    'Takes consistent backups of a SQLite database while programs use it, proves each one, keeps them on this disk, on S3 and in other folders, and restores any of them. Settings come from the environment or from .env.',
    '.SH OPTIONS',
    'Every verb takes these, before or after it.',
    ...global.flatMap(optionLines),
    '.SH VERBS',
    ...verbs.flatMap(verbLines),
    '.SH EXIT STATUS',
    ...exitWords.flatMap(([code, what]) => ['.TP', `.B ${code}`, escaped(what)]),
    '.SH ENVIRONMENT',
    'DATABASE_URL, BACKUP_LOCAL_PATH, S3_BUCKET and the others: see docs/configuration.md of the repository. An age private key is never read from the environment.',
    'NO_COLOR turns colour off; FORCE_COLOR turns it on without a terminal.',
  ].join('\n')}\n`;
}

function verbLines(verb: DescribedVerb): readonly string[] {
  const words = verb.arguments.map(({ name, required }) => (required ? `<${name}>` : `[${name}]`));
  // The verbs that are described are those of the table.
  const shown = verbTexts[verb.name as Verb].examples;
  return [
    `.SS ${escaped([verb.name, ...words].join(' '))}`,
    sentence(verb.what),
    ...verb.options.flatMap(optionLines),
    ...shown.flatMap(([command, what]) => ['.PP', sentence(what), '.PP', '.RS', '.nf', escaped(command), '.fi', '.RE']),
  ];
}

function optionLines({ flags, what }: DescribedOption): readonly string[] {
  return ['.TP', `.B ${escaped(flags)}`, sentence(what)];
}

function sentence(text: string): string {
  return escaped(`${text.charAt(0).toUpperCase()}${text.slice(1)}.`);
}

/** A hyphen is one that can be copied; a line must not begin like a request. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('~', '\\(ti')
    .replace(/^(?=[.'])/, '\\&');
}
