/**
 * What a file is that does not begin like a SQLite database, as far as its first bytes tell, and what helps. People take
 * hold of the wrong file, or of one that is still packed.
 */

/** How many bytes are looked at. */
export const HEAD_BYTES = 32;

export interface OtherForm {
  /** What it is, in words that follow "the file does not begin like a SQLite database: ". */
  readonly what: string;
  readonly hint: string;
}

/** https://sqlite.org/fileformat2.html#the_database_header */
const SQLITE = Buffer.from('SQLite format 3\0');

export const EMPTY: OtherForm = { what: 'it is empty', hint: 'Copy it again from where it came from.' };

const UNKNOWN: OtherForm = {
  what: 'it is another kind of file, or a database that is encrypted (SQLCipher, SEE)',
  hint: 'Take the database file itself. One that is encrypted can only be read with its key: export it unencrypted with the app that has the key.',
};

const forms: readonly (OtherForm & { readonly begins: readonly Buffer[] })[] = [
  {
    begins: [Buffer.from('age-encryption.org/v1\n'), Buffer.from('-----BEGIN AGE ENCRYPTED FILE')],
    what: 'it is encrypted with age',
    hint: 'Open it first, on a machine that has the private key: age -d -i key.txt FILE > opened. A name that ends in .zst.age has to go through zstd -d as well.',
  },
  {
    begins: [Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
    what: 'it is compressed with zstd',
    hint: 'Decompress it first: zstd -d FILE -o backup.sqlite.',
  },
  {
    begins: [
      Buffer.from([0x1f, 0x8b]),
      Buffer.from('PK\x03\x04'),
      Buffer.from('BZh'),
      Buffer.from('\xfd7zXZ', 'latin1'),
    ],
    what: 'it is an archive or compressed',
    hint: 'Unpack it first, and take the database file in it.',
  },
  {
    // https://sqlite.org/fileformat2.html#the_wal_file_format, #the_rollback_journal
    begins: [Buffer.from('377f0682', 'hex'), Buffer.from('377f0683', 'hex'), Buffer.from('d9d505f920a163d7', 'hex')],
    what: 'it is the log or the journal of a database, and not the database',
    hint: 'Take the file without -wal or -journal at the end of its name. If the log is all that is left of recent changes, keep both beside each other and open them once with SQLite.',
  },
  {
    begins: [Buffer.from('PRAGMA foreign_keys'), Buffer.from('BEGIN TRANSACTION')],
    what: 'it is a dump in SQL',
    hint: 'Make a database of it first: sqlite3 new.sqlite < FILE.',
  },
];

/** Null for what begins like a database. @param head its first `HEAD_BYTES` bytes, or all that it has. */
export function otherForm(head: Uint8Array): OtherForm | null {
  const starts = (start: Buffer) => start.equals(head.subarray(0, start.length));
  if (starts(SQLITE)) return null;
  if (head.length === 0) return EMPTY;
  return forms.find(({ begins }) => begins.some(starts)) ?? UNKNOWN;
}
