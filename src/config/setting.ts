/** One row of the table in `settings.ts`: what a setting is called, what it may be, and how its text is read. */
import { z } from 'zod';

export type Variables = Readonly<Record<string, string | undefined>>;

/** Titles of docs/configuration.md. */
export type Section =
  | 'What is backed up, when, and where to'
  | 'Proof'
  | 'What is kept'
  | 'Continuous backup'
  | 'S3'
  | 'A second folder'
  | 'How copies are sealed, on S3 and in a second folder'
  | 'The server'
  | "The app's own files (Velist's layout)";

export interface Setting<Value extends z.ZodType = z.ZodType, Start = unknown> {
  readonly variable: string;
  readonly section: Section;
  /** What it may be; the same for the environment, the configuration file and the page. */
  readonly value: Value;
  /** Its text in the environment as that value. */
  readonly fromText: z.ZodType<z.output<Value>>;
  /** Its value while nobody said one. */
  readonly start: Start;
  /** What it is, for docs/configuration.md. */
  readonly says: string;
  /** It may stand in a file, which `<variable>_FILE` names, and it is never shown. */
  readonly isSecret: boolean;
  /** A wrong one is not shown, because it may hold what is secret. */
  readonly isHidden: boolean;
  /** Its fault shows as much of it as may be seen: a private key may stand where a public one belongs. */
  readonly saysFault: boolean;
  /** A person chose it: blanks and quotes around it are a part of it. */
  readonly isVerbatim: boolean;
}

type Given<Value extends z.ZodType> = Pick<Setting<Value>, 'variable' | 'value' | 'says'> &
  Partial<Pick<Setting<Value>, 'fromText' | 'isHidden' | 'saysFault' | 'isVerbatim'>>;

/** Without a start its value is null while nobody said one. */
interface Maker<IsSecret extends boolean> {
  <Value extends z.ZodType>(
    given: Given<Value> & { readonly start: z.output<Value> },
  ): Setting<Value, z.output<Value>> & { readonly isSecret: IsSecret };
  <Value extends z.ZodType>(given: Given<Value>): Setting<Value, null> & { readonly isSecret: IsSecret };
}

/** By their keys. */
export type Rows = Readonly<Record<string, Setting>>;
export type ValuesOf<Group> = {
  readonly [Key in keyof Group]: Group[Key] extends Setting<infer Value, infer Start> ? z.output<Value> | Start : never;
};

/** Rows of one section. */
export function settingsOf(section: Section): { readonly setting: Maker<false>; readonly secret: Maker<true> } {
  const usual = { section, isHidden: false, saysFault: false, isVerbatim: false, start: null };
  const make = (isSecret: boolean) => (given: Given<z.ZodType>) => ({
    ...{ ...usual, fromText: textOf(given.value), isSecret },
    ...{ ...given, isHidden: given.isHidden ?? isSecret },
  });
  return { setting: make(false) as Maker<false>, secret: make(true) as Maker<true> }; // a row keeps what it is given
}

const words = { truthy: ['true', '1', 'yes', 'on'], falsy: ['false', '0', 'no', 'off'] };

/** Text is read as the kind of value that is wanted. */
export function textOf<Value extends z.ZodType>(value: Value): z.ZodType<z.output<Value>> {
  const read: z.ZodType =
    value instanceof z.ZodBoolean
      ? z.stringbool(words)
      : value instanceof z.ZodNumber
        ? z.string().transform(Number).pipe(value)
        : value instanceof z.ZodArray
          ? z.string().transform(listed)
          : value;
  return read as z.ZodType<z.output<Value>>; // each of them makes what `value` is
}

/** `a, b`; what is empty is left out. */
function listed(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** @param unit one of them, as a word. */
export function whole(least: number, most: number, unit: string) {
  const many = (count: number) => `${count.toLocaleString('en')} ${unit}${count === 1 ? '' : 's'}`;
  return z
    .int(`a whole number of ${unit}s`)
    .min(least, `at least ${many(least)}`)
    .max(most, `at most ${many(most)}`);
}

/** What text is refused for; null lets it pass. */
export function refused(faultOf: (value: string) => string | null) {
  return (value: string, context: z.core.$RefinementCtx<string>) => {
    const message = faultOf(value);
    if (message !== null) context.addIssue({ code: 'custom', message });
  };
}

export function inQuotes(text: string): string | null {
  return /^(["']).*\1$/s.test(text) && text.length > 1
    ? 'it is in quotes, which docker --env-file takes as part of the value; leave them out'
    : null;
}
