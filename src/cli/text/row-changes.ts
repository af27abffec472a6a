/** How many rows a backup has, and against the one before it, on one line. */
import { numberText } from '../../service/protection/loss-text.ts';
import type { BackupItem, RowChanges } from '../../service/model.ts';

/** `8,350: orders -8,310, log +12, 2 more`, for a column of a list. */
export function rowsText({ rows, changes }: Pick<BackupItem, 'rows' | 'changes'>): string {
  if (rows === null) return '';
  const total = numberText(rows);
  return changes === null || changes.count === 0 ? total : `${total}: ${changesText(changes)}`;
}

function changesText({ count, tables }: RowChanges): string {
  const told = tables.map(({ name, before, after }) => {
    const difference = `${name} ${signed((after ?? 0) - (before ?? 0))}`;
    if (after === null) return `${difference} (gone)`;
    return before === null ? `${difference} (new)` : difference;
  });
  const more = count > tables.length ? [`${count - tables.length} more`] : [];
  return [...told, ...more].join(', ');
}

export function signed(difference: number): string {
  return difference > 0 ? `+${numberText(difference)}` : numberText(difference);
}
