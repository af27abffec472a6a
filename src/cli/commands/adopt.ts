/** Takes a file into the catalog: one of the folder that Velist or a person made, or any database file from elsewhere. */
import { backupName } from '../../http/contract.ts';
import type { Arrival } from '../../service/model.ts';

import { exitCodes } from '../exit-codes.ts';
import { sizeText } from '../output.ts';
import type { Session } from '../session.ts';
import { withRemarks } from './verify.ts';

export async function adoptBackup({ service, output }: Session, wanted: string): Promise<number> {
  if (backupName.test(wanted)) {
    const backup = await service.adoptBackup(wanted);
    output.answer(backup, `${backup.filename} is now in the catalog.`);
    return exitCodes.done;
  }
  const { arrival, backup } = await service.arrivals.adoptFile(wanted);
  const { known, name, isWal } = arrival;
  const isThere = known?.filename === backup.filename;
  if (isWal && !known && !backupName.test(name))
    output.note(
      `${name} is in WAL mode: if it was copied without its log (${name}-wal), the newest changes are missing.`,
    );
  const became = isThere
    ? `It is ${backup.filename}, byte for byte, which is in the catalog already.`
    : `It is now ${backup.filename}, pinned. It is used only by that name: velist-backup restore ${backup.filename}`;
  output.answer(
    backup,
    withRemarks(
      `${holds(arrival)}\n${isThere ? '' : `${likenessWords[arrival.likeness]}\n`}${became}`,
      arrival.remarks,
    ),
  );
  return exitCodes.done;
}

/** "shop-copy.sqlite holds 42 tables with 87,426 rows (14.2 MB)." */
function holds({ name, tables, furtherTables, rows, sizeBytes }: Arrival): string {
  const count = tables.length + furtherTables;
  const what = `${count.toLocaleString('en')} ${count === 1 ? 'table' : 'tables'}`;
  const many = rows === null ? '' : ` with ${rows.toLocaleString('en')} ${rows === 1 ? 'row' : 'rows'}`;
  return `${name} holds ${what}${many} (${sizeText(sizeBytes)}).`;
}

const likenessWords: Readonly<Record<Arrival['likeness'], string>> = {
  same: 'Its tables are those of this database.',
  similar: 'Most of its tables are in this database too.',
  another: 'Its tables are not those of this database: it is kept as a backup of another one.',
  unknown: 'There is no backup of this database to compare it with.',
};
