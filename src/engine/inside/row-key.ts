/**
 * The text that names a row of a table: its key, column by column, or its rowid. It is JSON: an array of texts, each a letter
 * for the storage class and the value behind it.
 */
import type { SQLInputValue } from 'node:sqlite';
import { BackupError } from '../../words/errors.ts';

/** What SQL gives for each column of a key: its class and a form that JavaScript can hold. */
export function keyExpression(column: string): string {
  return `CASE typeof(${column}) WHEN 'integer' THEN 'i' || ${column} WHEN 'real' THEN 'r' || quote(${column}) WHEN 'text' THEN 't' || ${column} WHEN 'blob' THEN 'b' || hex(${column}) ELSE 'n' END`;
}

export function writeRowKey(parts: readonly unknown[]): string {
  return JSON.stringify(parts.map(String));
}

/** @throws BackupError BAD_REQUEST for what names no row. */
export function readRowKey(text: string, columns: number): SQLInputValue[] {
  let parts: unknown;
  try {
    parts = JSON.parse(text);
  } catch {
    throw isNoKey(text);
  }
  if (!Array.isArray(parts) || parts.length !== columns) throw isNoKey(text);
  return parts.map((part: unknown) => {
    if (typeof part !== 'string') throw isNoKey(text);
    return readPart(part, text);
  });
}

function readPart(part: string, text: string): SQLInputValue {
  const [kind, value] = [part.slice(0, 1), part.slice(1)];
  if (kind === 't') return value;
  if (kind === 'i' && /^-?\d{1,19}$/.test(value)) {
    const whole = BigInt(value);
    if (BigInt.asIntN(64, whole) === whole) return whole;
  }
  if (kind === 'r' && /^-?\d+(\.\d+)?(e[-+]?\d+)?$/i.test(value)) return Number(value);
  if (kind === 'b' && /^([\da-f]{2})*$/i.test(value)) return Buffer.from(value, 'hex');
  throw isNoKey(text);
}

function isNoKey(text: string): BackupError {
  return new BackupError('BAD_REQUEST', `${JSON.stringify(text.slice(0, 100))} names no row`, {
    hint: 'Use the key of a row as `look` or `diff` gives it.',
  });
}
