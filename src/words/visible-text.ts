/**
 * Text for a terminal or a log, of which parts come from elsewhere: a manifest at a bucket, a table's name, a server's
 * error. Control characters in it could move the cursor, rename the window, or forge a line of the log; those of Unicode
 * that turn the direction of writing could show a name as another one. They are shown by their number instead.
 *
 * C0, DEL and C1 (ECMA-48), and the directional formatting characters of UAX #9.
 */
const UNSEEN = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\ufeff]|\p{Surrogate}/gu;

/** For a log: one line. */
export function visibleLine(text: string): string {
  return text.replace(UNSEEN, shown);
}

/** For a terminal: line breaks and tabs stay. */
export function visibleText(text: string): string {
  return text.replace(UNSEEN, (character) => (character === '\n' || character === '\t' ? character : shown(character)));
}

/** The same JSON document: `JSON.stringify` leaves DEL, C1 and the directions as they are, which can stand in strings alone. */
export function visibleJson(json: string): string {
  return json.replace(UNSEEN, (character) => (character === '\n' ? character : `\\u${hex(character, 4)}`));
}

/** One word for a shell (POSIX), whatever is in it. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** As in JavaScript: `\n`, `\x1b`, `\u202e`. */
function shown(character: string): string {
  if (character === '\n') return '\\n';
  const code = character.charCodeAt(0);
  return code < 256 ? `\\x${hex(character, 2)}` : `\\u${hex(character, 4)}`;
}

function hex(character: string, digits: number): string {
  return character.charCodeAt(0).toString(16).padStart(digits, '0');
}
