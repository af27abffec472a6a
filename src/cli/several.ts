/**
 * Commands on several databases: which of them are meant, and what is printed of each. Texts get the name as their first
 * column, `--json` stays one document, and the exit code is the worst.
 */
import type { CliDatabase, Session } from './session.ts';
import { resolve } from 'node:path';
import { BackupError } from '../words/errors.ts';
import type { Status } from '../service/model.ts';
import { stateMarks } from './text/colours.ts';
import { table } from './text/tables.ts';
import { agoText, type Output, sizeText } from './output.ts';

/**
 * All, or the one that is wanted by its name or its path.
 *
 * @throws BackupError BAD_REQUEST when there is none such.
 */
export function pickDatabases(databases: readonly CliDatabase[], wanted: string | undefined): readonly CliDatabase[] {
  if (wanted === undefined) return databases;
  const picked =
    databases.find(({ name }) => name === wanted) ??
    databases.find(({ service }) => resolve(service.getConfig().databasePath) === resolve(wanted));
  if (picked) return [picked];
  throw new BackupError('BAD_REQUEST', `there is no database ${wanted}`, { hint: choices(databases) });
}

/** For what is done to one database alone. */
export function askWhich(databases: readonly CliDatabase[]): never {
  throw new BackupError('BAD_REQUEST', 'there are several databases, and this is done to one: say --database NAME', {
    hint: choices(databases),
  });
}

function choices(databases: readonly CliDatabase[]): string {
  const names = databases.map(({ name }) => name).join(', ');
  return names === '' ? 'The configuration finds none: check its globs.' : `The names are: ${names}.`;
}

/** One after the other; a failure of one keeps none of the others from their turn. */
export async function workOnEach(
  work: (session: Session) => Promise<number>,
  databases: readonly CliDatabase[],
  session: Omit<Session, 'service'>,
  codeOf: (thrown: unknown) => number,
): Promise<number> {
  const { output, signal } = session;
  const documents: Record<string, unknown> = {};
  // Nothing to work on is a fault of the configuration.
  const codes: number[] = databases.length === 0 ? [2] : [];
  const width = Math.max(0, ...databases.map(({ name }) => name.length));
  if (databases.length === 0) output.note(choices(databases));
  for (const { name, service } of databases) {
    if (signal.aborted) break;
    const named = outputOf(name, width, output, documents);
    try {
      codes.push(await work({ ...session, service, output: named, database: name }));
    } catch (thrown) {
      named.error(BackupError.from(thrown));
      codes.push(codeOf(thrown));
    }
  }
  if (output.json) output.answer({ databases: documents }, '');
  return worst(codes);
}

/** One line for each database; all that is known with `--json`. */
export async function statusOfEach(
  statusCode: (status: Status) => number,
  databases: readonly CliDatabase[],
  session: Omit<Session, 'service'>,
  codeOf: (thrown: unknown) => number,
): Promise<number> {
  const { output } = session;
  const now = session.now();
  const rows: string[][] = [];
  const show = async ({ service, output: named, database = '' }: Session): Promise<number> => {
    const status = await service.getStatus();
    named.answer(status, '');
    rows.push([database, ...statusRow(status, now)]);
    return statusCode(status);
  };
  const code = await workOnEach(show, databases, session, codeOf);
  const head = ['DATABASE', 'STATE', 'STATUS', 'LAST GOOD', 'SIZE', 'BACKUPS', 'TARGETS'];
  if (!output.json) output.answer(null, rows.length === 0 ? '' : table(head, rows), stateMarks);
  return code;
}

function statusRow({ freshness, verdict, lastGood, database, local, targets }: Status, now: Date): string[] {
  const on = targets.filter(({ enabled }) => enabled);
  const textOf = ({ stored, waiting }: (typeof on)[number]) =>
    waiting === 0 ? `${stored} stored` : `${waiting} waiting`;
  const remote = on.map((one) => (on.length === 1 ? textOf(one) : `${one.target} ${textOf(one)}`)).join(', ');
  return [
    freshness.state,
    verdict.code,
    lastGood ? agoText(lastGood.holdsAt, now) : 'none',
    database.exists ? sizeText(database.sizeBytes) : 'missing',
    String(local.count),
    remote || 'off',
  ];
}

function outputOf(name: string, width: number, output: Output, documents: Record<string, unknown>): Output {
  const prefixed = (text: string) => text.replaceAll(/^(?=.)/gm, `${name.padEnd(width)}  `);
  return {
    ...output,
    answer(document, text, marks) {
      documents[name] = document;
      if (!output.json && text !== '') output.answer(document, prefixed(text), marks);
    },
    note: (text) => output.note(prefixed(text)),
    error(error) {
      documents[name] = { error: error.toJSON() };
      if (!output.json)
        output.error(new BackupError(error.code, `${name}: ${error.message}`, { hint: error.hint }), error.message);
    },
  };
}

/** Interrupted, damaged, none, wrong, failed, not everywhere, done. */
const fromWorst: readonly number[] = [130, 4, 3, 2, 1, 5];

function worst(codes: readonly number[]): number {
  return fromWorst.find((code) => codes.includes(code)) ?? 0;
}
