/**
 * Writes the table of docs/configuration.md: names, defaults and allowed values from the schema that reads them, the
 * words from here. `bun docs/settings.ts`; a test compares.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { settingsSchema } from '../src/config/env.ts';

type Name = keyof typeof settingsSchema.shape;

interface Section {
  readonly title: string;
  readonly settings: Partial<Record<Name, string>>;
}

const sections: readonly Section[] = [
  {
    title: 'What is backed up, when, and where to',
    settings: {
      DATABASE_URL: 'the database: a path, also as `file:./app.sqlite` or `sqlite:///srv/app.sqlite`, and see below',
      BACKUP_ENABLED: '`false`: nothing by itself, everything by hand',
      BACKUP_INTERVAL_MINUTES: 'between two backups',
      BACKUP_SCHEDULE: 'a cron line of five fields, instead of the interval: `0 3 * * *`',
      BACKUP_LOCAL_PATH: 'the folder of the backups; made 0700, its files 0600',
      BACKUP_STATE_PATH: 'run history, shared by the app and the command line; losing it loses nothing else',
      BACKUP_SKIP_UNCHANGED: 'a scheduled run on an unchanged database is only noted',
    },
  },
  {
    title: 'Proof',
    settings: {
      BACKUP_VERIFY: '`quick_check` or `integrity_check` for every backup',
      BACKUP_MAX_AGE_MINUTES: 'when the newest good backup is too old; else three intervals, at least 15',
      BACKUP_LOSS_ALARM: 'a backup that lost much against the one before raises an alarm, and keeps what was before',
      BACKUP_LOSS_PERCENT: 'more than this part of the rows of a table, or of the whole content, is much',
      BACKUP_LOSS_ROWS: 'only in tables with at least so many rows is a part judged',
      BACKUP_LOSS_IGNORE: 'tables that the app empties regularly, with commas between',
      BACKUP_DRILL_ENABLED: 'once a day a restore is rehearsed',
      BACKUP_DRILL_SQL: 'what must hold on a restored backup: a statement, or the path of a file with several',
      BACKUP_WEBHOOK_URL: 'told when something changes: JSON that Slack, Discord and Mattermost take',
      BACKUP_HEARTBEAT_URL: 'pinged with each backup, in the form of healthchecks.io',
    },
  },
  {
    title: 'What is kept',
    settings: {
      BACKUP_RETENTION_COUNT: 'newest backups to keep on this disk',
      BACKUP_KEEP_HOURLY: 'and the newest good one of each of so many hours that have one; by default `24`',
      BACKUP_KEEP_DAILY: 'of so many days, in UTC; by default `7`',
      BACKUP_KEEP_WEEKLY: 'of so many ISO weeks; by default `4`',
      BACKUP_KEEP_MONTHLY: 'of so many months',
      BACKUP_KEEP_YEARLY: 'of so many years',
    },
  },
  {
    title: 'S3',
    settings: {
      BACKUP_S3_ENABLED: 'upload each backup',
      S3_BUCKET: 'the name of the bucket',
      S3_REGION: 'its region; else `us-east-1`',
      S3_ENDPOINT: 'the server, where it is not Amazon',
      S3_FORCE_PATH_STYLE: '`true`: `host/bucket/key`, `false`: `bucket.host/key`; else chosen by the server',
      S3_ACCESS_KEY: 'without both keys those of the AWS default chain',
      S3_SECRET_KEY: '',
      S3_SESSION_TOKEN: 'of temporary credentials, beside both keys',
      BACKUP_S3_PATH: 'the prefix in the bucket; one database alone may use it',
      BACKUP_S3_RETENTION_COUNT: 'newest backups to keep there; else as on this disk',
      BACKUP_S3_KEEP_HOURLY: 'as above, on S3; else as set for this disk',
      BACKUP_S3_KEEP_DAILY: '',
      BACKUP_S3_KEEP_WEEKLY: '',
      BACKUP_S3_KEEP_MONTHLY: '',
      BACKUP_S3_KEEP_YEARLY: '',
      BACKUP_S3_RETENTION: 'who removes copies there: `ours`, by the numbers above, or the rules of the `bucket`',
      BACKUP_S3_LIFECYCLE_DAYS: 'with `bucket`: the days after which its rule removes an object',
      BACKUP_COMPRESSION: 'of copies on S3; backups on this disk stay plain files',
      BACKUP_ENCRYPTION_RECIPIENT: 'public keys of age, with commas between: copies on S3 are encrypted to them',
      BACKUP_S3_STORAGE_CLASS: 'such as `STANDARD_IA`',
      BACKUP_S3_SSE: 'encryption by the server',
      BACKUP_S3_SSE_KMS_KEY: 'with this key of its',
      BACKUP_S3_OBJECT_LOCK_DAYS: 'how long nobody may delete a copy, in a bucket made with object lock',
      BACKUP_S3_OBJECT_LOCK_MODE: '',
    },
  },
  {
    title: 'The server',
    settings: {
      HOST: 'outside a loopback address it needs a password or a token',
      PORT: '',
      BACKUP_ADMIN_PASSWORD: 'who has it may use the page',
      BACKUP_API_TOKEN: 'programs send it as `Authorization: Bearer`; 16 characters at least: `openssl rand -hex 32`',
      BACKUP_METRICS_TOKEN: 'opens `/backup/metrics` and nothing else, for Prometheus',
      BACKUP_AUDIT_LOG: 'who did what, as lines of JSON for a collector: a file, or `-` for standard output',
      LOG_FORMAT: '',
    },
  },
  {
    title: "The app's own files (Velist's layout)",
    settings: {
      STORAGE_DRIVER: 'where `createStorage()` keeps them; it has no say in backups',
      LOCAL_STORAGE_PATH: '',
      LOCAL_STORAGE_URL: '',
      CDN_URL: '',
      DEMO_ORDERS: 'whether the demo shop of the repository gets orders',
      NODE_ENV: '`production`: no demo database is made',
    },
  },
];

const page = fileURLToPath(new URL('configuration.md', import.meta.url));
const begin = '<!-- settings: written by `bun docs/settings.ts` -->';
const end = '<!-- end of settings -->';

/** The page with the tables of today. @throws Error when a setting has no words, or words have no setting. */
export function renderConfigurationPage(text: string): string {
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`${page} has lost its marks`);
  const told = new Set(sections.flatMap(({ settings }) => Object.keys(settings)));
  const untold = Object.keys(settingsSchema.shape).filter((name) => !told.has(name));
  if (untold.length > 0) throw new Error(`no words in docs/settings.ts for ${untold.join(', ')}`);
  return `${before}${begin}\n\n${sections.map(renderSection).join('\n\n')}\n\n${end}${after}`;
}

function renderSection({ title, settings }: Section): string {
  const rows = Object.entries(settings).map(([name, words]) => {
    const [start, allowed] = [defaultOf(name), allowedOf(name)];
    return [`\`${name}\``, start && `\`${start}\``, [words, allowed].filter(Boolean).join('; ')];
  });
  const table = [['variable', 'default', ''], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(3, ...table.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) => `| ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`;
  const [head = [], ...body] = table;
  return [`## ${title}`, '', line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('\n');
}

const defaults: Readonly<Record<string, unknown>> = settingsSchema.parse({});
const shapes = z.toJSONSchema(settingsSchema, { io: 'output', unrepresentable: 'any' }).properties ?? {};

function defaultOf(name: string): string {
  const value = defaults[name];
  return value === undefined || (Array.isArray(value) && value.length === 0) ? '' : String(value);
}

function allowedOf(name: string): string {
  const shape = shapes[name];
  if (typeof shape !== 'object') return '';
  if (shape.enum) return shape.enum.map((value) => `\`${String(value)}\``).join(' or ');
  if (shape.type === 'integer') return `${shape.minimum} to ${shape.maximum?.toLocaleString('en')}`;
  return '';
}

if (import.meta.main) writeFileSync(page, renderConfigurationPage(readFileSync(page, 'utf8')));
