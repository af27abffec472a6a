/** `diff` and `accept-loss`: what changed between two backups, and that a loss was meant. */
import { numberText } from '../../service/protection/loss-text.ts';
import type { BackupDiff, BackupItem } from '../../service/model.ts';
import type { Session } from '../session.ts';
import { sizeText } from '../output.ts';
import { signed } from '../text/row-changes.ts';
import { table } from '../text/tables.ts';

const DONE = 0;

export async function diffBackups({ service, output }: Session, a: string, b: string): Promise<number> {
  const diff = await service.diff(a, b);
  output.answer(diff, diffText(diff, output.width));
  return DONE;
}

export async function acceptLoss(
  { service, output }: Session,
  filename: string | undefined,
  { ignoreTables = false }: { readonly ignoreTables?: boolean },
): Promise<number> {
  const backup = await service.acceptLoss({ filename, ignore: ignoreTables });
  output.answer(backup, acceptedText(backup, ignoreTables));
  return DONE;
}

function acceptedText({ filename, loss }: BackupItem, isIgnored: boolean): string {
  const tables = (loss?.tables ?? []).map(({ name }) => name);
  const ignored =
    isIgnored && tables.length > 0 ? `\nFrom now on nobody is told of what these lose: ${tables.join(', ')}.` : '';
  return `The loss in ${filename} was meant: the alarm ends, and retention goes its way again.${ignored}`;
}

const words: Readonly<Record<BackupDiff['tables'][number]['change'], string>> = {
  same: '',
  rows: 'rows',
  schema: 'schema',
  added: 'new',
  removed: 'gone',
};

function diffText({ tables, isSameSchema, usedBytes }: BackupDiff, width: number | undefined): string {
  const differing = tables.filter(({ change }) => change !== 'same');
  const counted = numberText(tables.reduce((sum, { after }) => sum + (after?.rows ?? 0), 0));
  const alike = tables.length - differing.length;
  if (differing.length === 0 && isSameSchema)
    return `No difference in numbers: ${alike} table${alike === 1 ? '' : 's'}, ${counted} rows.`;
  const number = (rows: number | null | undefined) => (rows === null || rows === undefined ? '-' : numberText(rows));
  const rows = differing.map(({ name, change, before, after }) => [
    ...[name, number(before?.rows), number(after?.rows)],
    ...[signed((after?.rows ?? 0) - (before?.rows ?? 0)), words[change]],
  ]);
  const same = alike === 0 ? '' : `; ${alike} table${alike === 1 ? ' has' : 's have'} as many rows as before`;
  const schema = isSameSchema ? 'The schema is the same' : 'The schema differs';
  const used = `${sizeText(usedBytes.before)} in use before, ${sizeText(usedBytes.after)} after`;
  return [
    ...(rows.length > 0
      ? [table(['TABLE', 'ROWS BEFORE', 'ROWS AFTER', 'DIFFERENCE', 'CHANGE'], rows, { width })]
      : []),
    `${schema}${same}. ${used}.`,
  ].join('\n');
}
