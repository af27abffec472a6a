/** From the text of variables to the values of the table in `settings.ts`. */
import { z } from 'zod';
import { fileVariable } from './secret-files.ts';
import type { Rows, Setting, ValuesOf, Variables } from './setting.ts';
import { appSettings, databaseSettings, placeSettings, serverSettings } from './settings.ts';
import { folderSettings, s3Settings } from './target-settings.ts';

const groups = {
  place: placeSettings,
  database: databaseSettings,
  s3: s3Settings,
  folder: folderSettings,
  server: serverSettings,
  app: appSettings,
};

/** What each group of settings came to. */
export type Values = {
  readonly [Group in keyof typeof groups]: ValuesOf<(typeof groups)[Group]>;
};

/** The targets come before what their copies are sealed with. */
export const allSettings: readonly Setting[] = [
  ...Object.values<Setting>(s3Settings),
  ...Object.values<Setting>(folderSettings),
  ...Object.values<Setting>(placeSettings),
  ...Object.values<Setting>(databaseSettings),
  ...Object.values<Setting>(serverSettings),
  ...Object.values<Setting>(appSettings),
];

/** The names of all settings. */
export const variableNames: readonly string[] = allSettings.map(({ variable }) => variable);
/** Each may stand in a file instead, which `<name>_FILE` names. */
export const secretVariables: readonly string[] = allSettings
  .filter(({ isSecret }) => isSecret)
  .map(({ variable }) => variable);
export const knownVariables: ReadonlySet<string> = new Set([...variableNames, ...secretVariables.map(fileVariable)]);
const verbatim = new Set(allSettings.filter(({ isVerbatim }) => isVerbatim).map(({ variable }) => variable));

/** Without those that are empty, which count as absent. */
export function bareVariables(variables: Variables): Variables {
  return Object.fromEntries(
    Object.entries(variables)
      .map(([name, value]) => [name, value === undefined ? undefined : bare(name, value)] as const)
      .filter(([, value]) => value !== undefined && value.trim() !== ''),
  );
}

/**
 * `docker --env-file` keeps the quotes around a value, and what an editor of Windows leaves at the end of a line. A
 * password may have both; one in quotes is refused, because nobody could sign in by what they believe it is.
 */
function bare(name: string, value: string): string {
  if (!knownVariables.has(name) || verbatim.has(name)) return value.replace(/\r$/, '');
  const text = value.trim();
  return /^(["']).*\1$/s.test(text) && text.length > 1 ? text.slice(1, -1) : text;
}

type Read = { readonly values: Values } | { readonly faults: readonly string[] };

/** @returns a line for each fault: name, value (never a secret's), what is allowed. */
export function readValues(given: Variables): Read {
  const faults: string[] = [];
  const read = (rows: Rows) =>
    Object.fromEntries(
      Object.entries(rows).map(([key, row]) => {
        const text = given[row.variable];
        const parsed = text === undefined ? { success: true as const, data: row.start } : row.fromText.safeParse(text);
        if (!parsed.success) faults.push(...parsed.error.issues.map((issue) => fault(row, issue, text ?? '')));
        return [key, parsed.data];
      }),
    );
  const values = Object.fromEntries(Object.entries(groups).map(([group, rows]) => [group, read(rows)]));
  return faults.length > 0 ? { faults } : { values: values as Values }; // each value was parsed by its row
}

function fault({ variable, value, isHidden, saysFault }: Setting, { message }: z.core.$ZodIssue, text: string): string {
  if (saysFault) return `${variable}: ${message}`;
  // A password may stand in an address of any form.
  const shown = isHidden || (value instanceof z.ZodURL && text.includes('@')) ? '(secret)' : JSON.stringify(text);
  return `${variable}: ${shown} is not allowed; ${message}`;
}
