/**
 * Log lines: `[Backup] …` as text, or one JSON object a line. Never a secret, never an absolute server path of ours, and
 * never a control character: what comes from a bucket or a database must not forge a line.
 */
import { visibleJson, visibleLine } from '../words/visible-text.ts';

type LogLevel = 'info' | 'warn' | 'error';
export type Log = (level: LogLevel, message: string) => void;

export function createLog(options: {
  format: 'text' | 'json';
  write: (line: string, level: LogLevel) => void;
  /** Its name, where one of many speaks. */
  database?: string;
}): Log {
  const { database } = options;
  return (level, message) => {
    const line =
      options.format === 'json'
        ? visibleJson(JSON.stringify({ time: new Date().toISOString(), level, area: 'backup', database, message }))
        : `[Backup] ${visibleLine(`${database === undefined ? '' : `${database}: `}${message}`)}`;
    options.write(line, level);
  };
}

/** 1024-based, as on the page: `2.5 MB`. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
