/**
 * Writes the tables of docs/configuration.md from that of `src/config/settings.ts`: `bun docs/settings.ts`. A test compares.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Section, Setting } from '../src/config/setting.ts';
import { allSettings } from '../src/config/read-settings.ts';

const titles: readonly Section[] = [
  'What is backed up, when, and where to',
  'Proof',
  'What is kept',
  'Continuous backup',
  'S3',
  'A second folder',
  'How copies are sealed, on S3 and in a second folder',
  'The server',
  "The app's own files (Velist's layout)",
];

const page = fileURLToPath(new URL('configuration.md', import.meta.url));
const begin = '<!-- settings: written by `bun docs/settings.ts` -->';
const end = '<!-- end of settings -->';

/** The page with the tables of today. */
export function renderConfigurationPage(text: string): string {
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`${page} has lost its marks`);
  return `${before}${begin}\n\n${titles.map(renderSection).join('\n\n')}\n\n${end}${after}`;
}

function renderSection(title: Section): string {
  const rows = allSettings
    .filter(({ section }) => section === title)
    .map((row) => {
      const [start, allowed] = [defaultOf(row), allowedOf(row)];
      return [`\`${row.variable}\``, start && `\`${start}\``, [row.says, allowed].filter(Boolean).join('; ')];
    });
  const table = [['variable', 'default', ''], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(3, ...table.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) => `| ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`;
  const [head = [], ...body] = table;
  return [`## ${title}`, '', line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('\n');
}

function defaultOf({ start }: Setting): string {
  return start === null || (Array.isArray(start) && start.length === 0) ? '' : String(start);
}

function allowedOf({ value }: Setting): string {
  const shape = z.toJSONSchema(value, { io: 'output', unrepresentable: 'any' });
  if (shape.enum) return shape.enum.map((one) => `\`${String(one)}\``).join(' or ');
  if (shape.type === 'integer') return `${shape.minimum} to ${shape.maximum?.toLocaleString('en')}`;
  return '';
}

if (import.meta.main) writeFileSync(page, renderConfigurationPage(readFileSync(page, 'utf8')));
