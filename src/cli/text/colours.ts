/** Which words of an answer are coloured on a terminal. What they say is in the words: colour adds nothing to it. */
const sgr = { bold: 1, red: 31, green: 32, yellow: 33, blue: 34 } as const;

/** What matches gets that colour. */
export type Marks = readonly (readonly [pattern: RegExp, colour: keyof typeof sgr])[];

/** At the start of a line, or behind the name of one of several databases. */
const first = (words: string) => new RegExp(`(?<=^(?:\\S+ {2,})?)(?:${words})(?= {2})`, 'gm');

export const findingMarks: Marks = [
  [first('PROBLEM|FAILED'), 'red'],
  [first('WARNING'), 'yellow'],
  [first('info'), 'blue'],
  [first('ok'), 'green'],
];

/** The word that follows `status` or `state`, and the column of several databases. */
export const stateMarks: Marks = [
  [/(?<=\b(?:status|state) +)unprotected\b|(?<= {2})unprotected(?= {2})/g, 'red'],
  [/(?<=\b(?:status|state) +)(?:late|at-risk)\b|(?<= {2})(?:late|at-risk)(?= {2})/g, 'yellow'],
  [/(?<=\b(?:status|state) +)protected\b|(?<= {2})protected(?= {2})/g, 'green'],
];

export const backupMarks: Marks = [
  [/^(?:\S+ {2,})?BACKUP .*$/m, 'bold'],
  [/(?<= {2})(?:damaged|LOSS)(?= |,|$)/gm, 'red'],
  [/(?<= {2})(?:changed|unchecked)(?= {2})/g, 'yellow'],
];

export function painted(text: string, marks: Marks): string {
  return marks.reduce(
    (whole, [pattern, colour]) => whole.replace(pattern, (found) => `\x1b[${sgr[colour]}m${found}\x1b[0m`),
    text,
  );
}
