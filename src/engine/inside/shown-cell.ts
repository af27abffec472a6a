/** A value as a page or a terminal gets it: whole where it is short, its beginning else. */

export type ShownCell =
  | null
  | number
  | string
  | { readonly integer: string }
  | { readonly real: 'Infinity' | '-Infinity' }
  | { readonly text: string; readonly bytes: number }
  | { readonly blob: number; readonly start: string };

const TEXT_CHARACTERS_MAX = 200;
const BLOB_BYTES_MAX = 32;

/** What SQL gives for one value: its class, how long it is, and its beginning. */
export function shownCellsOf(column: string, name: string): readonly string[] {
  const isLong = `typeof(${column}) IN ('text', 'blob')`;
  return [
    `typeof(${column}) AS ${name}t`,
    `CASE WHEN ${isLong} THEN length(CAST(${column} AS BLOB)) END AS ${name}n`,
    `CASE typeof(${column}) WHEN 'text' THEN substr(${column}, 1, ${TEXT_CHARACTERS_MAX}) WHEN 'blob' THEN hex(substr(${column}, 1, ${BLOB_BYTES_MAX})) ELSE ${column} END AS ${name}v`,
  ];
}

/** From a row read with `setReadBigInts(true)`. */
export function shownCell(row: Readonly<Record<string, unknown>>, name: string): ShownCell {
  const [type, bytes, value] = [row[`${name}t`], Number(row[`${name}n`] ?? 0), row[`${name}v`]];
  if (type === 'integer') {
    const whole = Number(value);
    return Number.isSafeInteger(whole) ? whole : { integer: String(value) };
  }
  if (type === 'real') {
    const real = Number(value);
    return Number.isFinite(real) ? real : { real: real > 0 ? 'Infinity' : '-Infinity' };
  }
  if (type === 'blob') return { blob: bytes, start: String(value).toLowerCase() };
  if (type !== 'text') return null;
  const text = String(value);
  return bytes > Buffer.byteLength(text) ? { text, bytes } : text;
}
