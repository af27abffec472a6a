/**
 * Tables that fit the terminal. A name is never cut, because people copy it; the last column gives way first, then the
 * lesser ones go. Widths are those of the cells on a screen: a Chinese letter takes two, an accent none.
 */
import stringWidth from 'string-width';

export interface TableOptions {
  /** Width of the terminal; left out, nothing is cut: a pipe gets all. */
  readonly width?: number;
}

const GAP = '  ';
/** What is left of a column that is cut must still say something. */
const LAST_MIN = 10;

/** @param rows with the columns in the order of their weight: those at the end go first. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { width = Number.POSITIVE_INFINITY }: TableOptions = {},
): string {
  const cells = [head, ...rows].map((row) => row.map(onOneLine));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => stringWidth(row[column] ?? ''))));
  const upTo = (columns: number) =>
    widths.slice(0, columns).reduce((sum, each) => sum + each + GAP.length, -GAP.length);
  let columns = head.length;
  while (columns > 1 && upTo(columns - 1) + GAP.length + Math.min(LAST_MIN, widths[columns - 1] ?? 0) > width)
    columns--;
  // The first is whole whatever comes; a terminal that is narrower breaks the line.
  if (columns > 1) widths[columns - 1] = Math.min(widths[columns - 1] ?? 0, width - upTo(columns - 1) - GAP.length);
  return cells
    .map((row) =>
      row
        .slice(0, columns)
        .map((cell, column) => fit(cell, widths[column] ?? 0))
        .join(GAP)
        .trimEnd(),
    )
    .join('\n');
}

/** Padded, or cut with `…`. */
function fit(text: string, width: number): string {
  const missing = width - stringWidth(text);
  if (missing >= 0) return text + ' '.repeat(missing);
  let kept = '';
  let taken = 0;
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    const next = taken + stringWidth(segment);
    if (next > width - 1) break;
    kept += segment;
    taken = next;
  }
  return `${kept}…${' '.repeat(width - taken - 1)}`;
}

/** A note may hold what would break the table, or talk to the terminal. */
function onOneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ');
}

/** Fewer cells than this beside an indent are no place for text: then the terminal breaks the line. */
const WRAPPED_MIN = 24;

/** Breaks a line between words; what follows is indented. A pipe, and a narrow terminal, get it as it is. */
export function wrapped(line: string, indent: number, width: number | undefined): string {
  if (width === undefined || width - indent < WRAPPED_MIN) return line;
  const lines: string[] = [];
  // The indent of the first line is its own.
  const start = /^ */.exec(line)?.[0] ?? '';
  let current = start;
  for (const word of line.slice(start.length).split(' ')) {
    const next = current === start || current.trim() === '' ? current + word : `${current} ${word}`;
    if (stringWidth(next) > width && current.trim() !== '') {
      lines.push(current.trimEnd());
      current = ' '.repeat(indent) + word;
    } else current = next;
  }
  return [...lines, current].join('\n');
}
