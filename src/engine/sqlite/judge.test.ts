import { expect, test } from 'bun:test';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { remarkTexts } from '../../service/protection/remarks.ts';
import { seedBlobs } from '../../../tests/support/seeded-blobs.ts';
import { seededRandom } from '../../../tests/support/torture-random.ts';
import type { VerifyMethod } from './judge.ts';
import { judgeLiveDatabase } from './judge-live.ts';
import { verifyFile } from './verify.ts';

const scratch = scratchFolders();
const methods = ['quick', 'full'] as const;
const numbers = (count: number) => `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})`;

/** @param rewrite what is said in the schema afterwards, so that it asks for what this SQLite does not have. */
function make(sql: string, rewrite: readonly (readonly [from: string, to: string])[] = [], mode = 'delete'): string {
  const path = join(scratch(), 'shop.sqlite');
  const database = new DatabaseSync(path, { defensive: false, enableDoubleQuotedStringLiterals: true } as object);
  seedBlobs(database, seededRandom(1));
  database.exec(`PRAGMA journal_mode = ${mode}; PRAGMA synchronous = OFF; ${sql}`);
  for (const [from, to] of rewrite) {
    database.exec('PRAGMA writable_schema = ON');
    database.prepare('UPDATE sqlite_schema SET sql = replace(sql, ?, ?)').run(from, to);
  }
  database.close();
  return path;
}

const remarks = async (path: string, method: VerifyMethod = 'quick') => remarkTexts(await verifyFile(path, { method }));

async function complaint(path: string, method: VerifyMethod = 'quick'): Promise<string> {
  const error = await refusal(() => verifyFile(path, { method }));
  expect(error.code).toBe('VERIFY_FAILED');
  return error.message;
}

// ── content ──

test('rows that break a rule of their table are told with table, rule and number, and the file is good', async () => {
  const cases: readonly (readonly [string, string, readonly (readonly [string, string])[]])[] = [
    [
      'CREATE TABLE issues (id INTEGER PRIMARY KEY, notes); INSERT INTO issues (notes) VALUES (NULL), (1), (NULL)',
      '2 rows of issues break the rule NOT NULL of notes',
      [['notes)', 'notes NOT NULL)']],
    ],
    [
      "CREATE TABLE prices (id INTEGER PRIMARY KEY, price) STRICT; INSERT INTO prices VALUES (1, 'much')".replace(
        'price)',
        'price TEXT)',
      ),
      '1 row of prices breaks the rule type of price',
      [['TEXT)', 'INTEGER)']],
    ],
    [
      'PRAGMA ignore_check_constraints = ON; CREATE TABLE t (n INTEGER CHECK (n > 0)); INSERT INTO t VALUES (-5), (-6), (7)',
      '2 rows of t break the rule CHECK',
      [],
    ],
    [
      'CREATE TABLE "a.b" ("c.d" TEXT); INSERT INTO "a.b" VALUES (NULL)',
      '1 row of a.b breaks the rule NOT NULL of c.d',
      [['TEXT)', 'TEXT NOT NULL)']],
    ],
  ];
  for (const [sql, expected, rewrite] of cases)
    for (const method of methods) expect(await remarks(make(sql, rewrite), method)).toEqual([expected]);
});

test('a full-text index that is out of step with its table is told, and the file is good', async () => {
  const path = make(`CREATE VIRTUAL TABLE docs USING fts5 (body); INSERT INTO docs VALUES ('hello'), ('world');
    UPDATE docs_content SET c0 = 'other words' WHERE id = 1`);
  expect(await remarks(path, 'full')).toEqual(['the full-text index of table docs is out of step with it']);
});

test('a full-text index that was damaged in whatever way costs no backup', async () => {
  const damages = [
    'DELETE FROM docs_data WHERE id > 10',
    'UPDATE docs_data SET block = randomblob(30) WHERE id > 10',
    'UPDATE docs_data SET block = randomblob(30) WHERE id = 10',
    'DELETE FROM docs_docsize',
    'DELETE FROM docs_content WHERE id = 3',
    "UPDATE docs_config SET v = 99 WHERE k = 'version'",
    // The module asks for more memory than SQLite ever gives.
    "UPDATE docs_data SET block = x'a59f65487f08a907b1b7df37cfbbe5b56eee63bb15d0d69cb318b605184d' WHERE id = 10",
  ];
  for (const damage of damages) {
    const path = make(`CREATE VIRTUAL TABLE docs USING fts5 (body);
      ${numbers(500)} INSERT INTO docs SELECT 'word' || i || ' of many' FROM n; ${damage}`);
    for (const method of methods)
      expect([damage, (await remarks(path, method)).join()]).toEqual([damage, expect.stringMatching(/docs|^$/)]);
    expect(judgeLiveDatabase(path, 'full').structure).toEqual([]);
  }
});

test('an R-tree that is out of step is told, and the file is good', async () => {
  const path =
    make(`CREATE VIRTUAL TABLE places USING rtree (id, x0, x1); INSERT INTO places VALUES (1, 2, 3), (2, 3, 4);
    DELETE FROM places_rowid WHERE rowid = 1`);
  expect(await remarks(path, 'full')).toEqual(['the R-tree index of table places is out of step with it']);
});

test('rows without their parent are told by the thorough check', async () => {
  const path = make(`PRAGMA foreign_keys = OFF; CREATE TABLE users (id INTEGER PRIMARY KEY);
    CREATE TABLE orders (id INTEGER PRIMARY KEY, user REFERENCES users); INSERT INTO orders VALUES (1, 7), (2, 8)`);
  expect(await remarks(path, 'full')).toEqual(['2 rows of orders without parent in users']);
  expect(await remarks(path)).toEqual([]);
});

test('damage behind many rows that break rules is found, and the rows are all counted otherwise', async () => {
  const sql = `CREATE TABLE a (id INTEGER PRIMARY KEY, v); ${numbers(5_000)} INSERT INTO a SELECT i, NULL FROM n;
    CREATE TABLE b (id INTEGER PRIMARY KEY, v); CREATE INDEX b_by_v ON b (v);
    ${numbers(50)} INSERT INTO b SELECT i, 'x' || i FROM n`;
  const path = make(sql, [['a (id INTEGER PRIMARY KEY, v)', 'a (id INTEGER PRIMARY KEY, v NOT NULL)']]);
  expect(await remarks(path, 'full')).toEqual(['5000 rows of a break the rule NOT NULL of v']);
  const bytes = readFileSync(path);
  bytes.write('x5000', bytes.lastIndexOf('x50'));
  const at = bytes.indexOf('x49');
  bytes.write('x99', at);
  writeFileSync(path, bytes);
  expect(await complaint(path, 'full')).toMatch(/index b_by_v/);
});

// ── could not run ──

const lacking: Readonly<
  Record<string, readonly [sql: string, rewrite: readonly (readonly [string, string])[], said: RegExp]>
> = {
  'a collation in a column and its index': [
    `CREATE TABLE notes (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE); CREATE INDEX ix ON notes (name);
     ${numbers(200)} INSERT INTO notes SELECT i, 'n' || i FROM n`,
    [['NOCASE', 'unicase']],
    /^table notes was not checked: no such collation sequence: unicase$/,
  ],
  'a collation of a table without rowids': [
    `CREATE TABLE kv (k TEXT COLLATE NOCASE PRIMARY KEY, v) WITHOUT ROWID; ${numbers(500)} INSERT INTO kv SELECT 'k' || i, i FROM n`,
    [['NOCASE', 'icu_root']],
    /^table kv was not checked: no such collation sequence: icu_root$/,
  ],
  'a function in a CHECK': [
    "CREATE TABLE people (name TEXT CHECK (length(name) > 0)); INSERT INTO people VALUES ('a')",
    [['length(', 'is_polite(']],
    /^table people was not checked: .*is_polite/,
  ],
  'a tokenizer of FTS3': [
    "CREATE VIRTUAL TABLE ft USING fts4 (body); INSERT INTO ft VALUES ('hello')",
    [['body)', 'body, tokenize=collating)']],
    /^virtual table ft was not checked: unknown tokenizer: collating$/,
  ],
  'a tokenizer of FTS5': [
    "CREATE VIRTUAL TABLE ft USING fts5 (body); INSERT INTO ft VALUES ('hello')",
    [['body)', "body, tokenize='mine')"]],
    /^virtual table ft was not checked: (no such tokenizer: mine|vtable constructor failed: ft|SQL logic error)$/,
  ],
  'a module': [
    "CREATE VIRTUAL TABLE v USING fts5 (body); INSERT INTO v VALUES ('hello')",
    [['USING fts5', 'USING spellfix9']],
    /^virtual table v was not checked: no such module: spellfix9$/,
  ],
  'words of a newer SQLite': [
    `CREATE TABLE old (a); INSERT INTO old VALUES (1); CREATE TABLE fresh (a TEXT, b); CREATE INDEX fi ON fresh (b);
     ${numbers(300)} INSERT INTO fresh SELECT 'x' || i, i FROM n`,
    [['CREATE TABLE fresh (a TEXT, b)', 'CREATE TABLE fresh (a TEXT, b) WITH TIME TRAVEL']],
    /^table fresh was not checked: .*syntax error$/,
  ],
  'words of a newer SQLite in a trigger': [
    'CREATE TABLE t (a); CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END; INSERT INTO t VALUES (1)',
    [['AFTER INSERT', 'AFTER UPSERT']],
    /^trigger tr was not checked: .*syntax error$/,
  ],
};

for (const [what, [sql, rewrite, said]] of Object.entries(lacking)) {
  test(`${what} that this SQLite lacks: the file is good, what was not checked is said`, async () => {
    const path = make(sql, rewrite);
    for (const method of methods) expect((await remarks(path, method)).join('; ')).toMatch(said);
  });
}

test('a function in an index is missed by the thorough check alone', async () => {
  const path = make(
    "CREATE TABLE books (title); CREATE INDEX bi ON books (lower(title)); INSERT INTO books VALUES ('A')",
    [['lower(', 'title_sort(']],
  );
  expect(await remarks(path)).toEqual([]);
  expect((await remarks(path, 'full')).join()).toMatch(/^table books was not checked: .*title_sort/);
});

test('a table with more columns than this SQLite has room for is walked', async () => {
  const columns = Array.from({ length: 2_000 }, (_, index) => `c${index}`).join(', ');
  const path = make(`CREATE TABLE wide (${columns}); INSERT INTO wide (c0) VALUES (1)`, [
    ['c1999', `c1999, ${'x'.repeat(9)}`],
  ]);
  expect((await remarks(path)).join()).toMatch(/^table wide was not checked: too many columns/);
});

test('a database that this SQLite can not understand in whole is judged alike while it is in use', async () => {
  for (const mode of ['wal', 'delete'])
    for (const [sql, rewrite, said] of Object.values(lacking)) {
      const path = make(sql, rewrite, mode);
      const judged = judgeLiveDatabase(path, 'quick');
      expect([judged.structure, remarkTexts(judged).join('; ')]).toEqual([[], expect.stringMatching(said)]);
    }
});

test('bytes in the schema that no program writes are damage', async () => {
  const path = make('CREATE TABLE t (a); CREATE TABLE u (b)');
  const bytes = readFileSync(path);
  bytes.writeUInt8(1, bytes.indexOf('CREATE TABLE u') + 3);
  writeFileSync(path, bytes);
  expect(await complaint(path)).toContain('the integrity check failed');
});

// ── structure, where SQLite is blind ──

test('random damage under a collation that nobody has is found as SQLite finds it where it has it', async () => {
  const seed = Number(process.env['JUDGE_SEED'] ?? 20_261_129);
  let [found, sound] = [0, 0];
  for (let number = 0; number < 60; number++) {
    const random = seededRandom(seed + number);
    const known = make(
      `PRAGMA page_size = ${random.pick([512, 1024, 4096])}; PRAGMA auto_vacuum = ${random.pick([0, 1, 2])};
       CREATE TABLE notes (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, rest); CREATE INDEX ix ON notes (name);
       ${numbers(random.between(50, 500))} INSERT INTO notes SELECT i, 'n' || i, randomblob(${random.pick([5, 200, 3_000])}) FROM n;
       ${random.chance(0.5) ? 'DELETE FROM notes WHERE id % 3 = 0;' : ''} VACUUM`,
    );
    const unknown = `${known}.unknown`;
    copyFileSync(known, unknown);
    const database = new DatabaseSync(unknown, { defensive: false } as object);
    database.exec("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'NOCASE', 'MYCASE')");
    database.close();
    const bytes = readFileSync(known);
    const [size, at] = [bytes.readUInt16BE(16), random.between(bytes.readUInt16BE(16), bytes.length - 4)];
    const edge = random.chance(0.7) ? at - (at % size) + random.between(0, 30) : at;
    const flip = random.pick([1, 8, 255]);
    for (const path of [known, unknown]) {
      const changed = readFileSync(path);
      changed.writeUInt8(bytes.readUInt8(edge) ^ flip, edge);
      writeFileSync(path, changed);
    }
    const verdicts = await Promise.all(
      [known, unknown].map(async (path) => {
        const judged = verifyFile(path, { method: 'quick' });
        return await judged.then(
          () => 'sound',
          (error: Error) => error.message,
        );
      }),
    );
    const [one = '', other = ''] = verdicts;
    if (one === 'sound') sound += 1;
    else found += 1;
    // Into the records of an index that nobody can check otherwise the walk looks too.
    const isSame = (one === 'sound') === (other === 'sound') || (one === 'sound' && other.includes('index ix'));
    expect({ seed: seed + number, one, other, isSame }).toMatchObject({ isSame: true });
  }
  expect(Math.min(found, sound)).toBeGreaterThan(5);
}, 120_000);

test('the live database is accounted for to the last page, whether its pages lie in the log or not', () => {
  const path = make(
    `CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT); CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT);
     ${numbers(400)} INSERT INTO log SELECT i, hex(randomblob(500)) FROM n; DELETE FROM log WHERE id > 50;
     CREATE VIEW v0 AS SELECT * FROM orders`,
    [],
    'wal',
  );
  const app = new DatabaseSync(path);
  app.exec('PRAGMA wal_autocheckpoint = 0');
  for (let round = 0; round < 3; round++) {
    app.exec(
      `${numbers(200)} INSERT INTO orders (what) SELECT hex(randomblob(400)) FROM n; DELETE FROM log WHERE id % 7 = ${round}`,
    );
    expect(judgeLiveDatabase(path, 'quick').structure).toEqual([]);
    // A reader keeps the log from being merged whole.
    if (round === 1) app.exec('BEGIN; SELECT count(*) FROM orders');
    if (round === 1) app.exec('COMMIT');
  }
  app.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  expect(judgeLiveDatabase(path, 'full').structure).toEqual([]);
  app.close();
  const bytes = readFileSync(path);
  const trunk = bytes.readUInt32BE(32);
  bytes.writeUInt32BE(2, (trunk - 1) * 4096 + 8);
  writeFileSync(path, bytes);
  expect(judgeLiveDatabase(path, 'quick').structure.join()).toMatch(
    /^page 2 is used by the freelist and by table orders/,
  );
});

test('a live database beside a busy writer is judged at one moment', async () => {
  const path = make('CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE VIEW v0 AS SELECT 1', [], 'wal');
  const writer = Bun.spawn(
    [
      process.execPath,
      '-e',
      `
    const { DatabaseSync } = require('node:sqlite');
    const db = new DatabaseSync(${JSON.stringify(path)}); db.exec('PRAGMA synchronous = OFF; PRAGMA busy_timeout = 5000');
    const insert = db.prepare('INSERT INTO t (v) VALUES (randomblob(?))'), remove = db.prepare('DELETE FROM t WHERE id = ?');
    console.log('ready');
    for (let i = 1; ; i++) { insert.run(10 + (i * 37) % 3000); if (i % 3 === 0) remove.run(i - 2); }`,
    ],
    { stdout: 'pipe' },
  );
  await writer.stdout.getReader().read();
  for (let round = 0; round < 15; round++) expect(judgeLiveDatabase(path, 'quick').structure).toEqual([]);
  writer.kill();
  await writer.exited;
});

test('a file that may only be read is judged as one that may be written, but for its CHECKs, and that is said', async () => {
  const path = make(
    'PRAGMA ignore_check_constraints = ON; CREATE TABLE t (n CHECK (n > 0)); INSERT INTO t VALUES (-1)',
    [],
    'wal',
  );
  expect(await remarks(path)).toEqual(['CHECK constraints was not checked: the file was opened read-only']);
});

// ── found by others who looked at it ──

const seen: Readonly<
  Record<string, readonly [sql: string, rewrite: readonly (readonly [string, string])[], damage?: string]>
> = {
  'a schema that contradicts itself beside a table with AUTOINCREMENT': [
    'CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT); CREATE VIEW vv AS SELECT 1',
    [],
    "UPDATE sqlite_schema SET name = 'zz' WHERE name = 'vv'",
  ],
  'a schema that contradicts itself beside a collation of the app': [
    'CREATE TABLE k (a TEXT COLLATE NOCASE PRIMARY KEY) WITHOUT ROWID; CREATE VIEW vv AS SELECT 1',
    [['NOCASE', 'MYCASE']],
    "UPDATE sqlite_schema SET name = 'zz' WHERE name = 'vv'",
  ],
  'two tables of one name': [
    'CREATE TABLE s (id INTEGER PRIMARY KEY AUTOINCREMENT); CREATE TABLE a (x); CREATE TABLE b (x)',
    [],
    "UPDATE sqlite_schema SET name = 'a', tbl_name = 'a', sql = 'CREATE TABLE a(x)' WHERE name = 'b'",
  ],
  'a letter of a keyword that SQLite wrote': ['CREATE TABLE k (a)', [['CREATE TABLE', 'CREATE TABHE']]],
  'a first page that no file has': ['CREATE TABLE k (a)', [], 'UPDATE sqlite_schema SET rootpage = 1 << 60'],
};

for (const [what, [sql, rewrite, damage]] of Object.entries(seen)) {
  test(`${what} is damage, in the file and in use`, async () => {
    const path = make(sql, rewrite);
    const database = new DatabaseSync(path, { defensive: false } as object);
    database.exec(`PRAGMA writable_schema = ON; ${damage ?? ''}`);
    database.close();
    for (const method of methods) await complaint(path, method);
    expect(judgeLiveDatabase(path, 'quick').structure).not.toEqual([]);
  });
}

const sound: Readonly<
  Record<string, readonly [sql: string, rewrite: readonly (readonly [string, string])[], says: RegExp]>
> = {
  'rows with numbers that JavaScript can not hold, and no parent': [
    `PRAGMA foreign_keys = OFF; CREATE TABLE u (id INTEGER PRIMARY KEY); CREATE TABLE o (id INTEGER PRIMARY KEY, u REFERENCES u);
     INSERT INTO o VALUES (9007199254740993, 5)`,
    [],
    /^(1 row of o without parent in u)?$/,
  ],
  'new words in the body of a trigger': [
    'CREATE TABLE t (a); CREATE TRIGGER tr AFTER INSERT ON t BEGIN DELETE FROM t; END',
    [['DELETE FROM t', 'DELETE FROM FUTURE t']],
    /^trigger tr was not checked: .*syntax error$/,
  ],
  'a virtual table with a comment in its definition': [
    'CREATE TABLE n (x COLLATE NOCASE); CREATE INDEX ni ON n (x); CREATE VIRTUAL TABLE ft /* words */ USING fts5 (body)',
    [['NOCASE', 'MYCASE']],
    /^table n was not checked: no such collation sequence: MYCASE$/,
  ],
  'a table called like a function of SQLite': [
    'CREATE TABLE pragma_index_list (a); CREATE TABLE n (x COLLATE NOCASE); CREATE INDEX ni ON n (x)',
    [['NOCASE', 'MYCASE']],
    /^table n was not checked: no such collation sequence: MYCASE$/,
  ],
  'words of a newer SQLite beside AUTOINCREMENT, statistics, and a text in double quotes': [
    `CREATE TABLE s (id INTEGER PRIMARY KEY AUTOINCREMENT, x CHECK (x <> "b")); CREATE INDEX si ON s (x); INSERT INTO s (x) VALUES ('a');
     ANALYZE; CREATE TABLE fresh (a)`,
    [['CREATE TABLE fresh (a)', 'CREATE TABLE fresh (a) TIME TRAVEL']],
    /^table fresh was not checked: [^;]*$/,
  ],
};

for (const [what, [sql, rewrite, says]] of Object.entries(sound)) {
  test(`${what}: the file is good, and what is said is right`, async () => {
    const path = make(sql, rewrite);
    for (const method of methods) {
      expect((await remarks(path, method)).join('; ')).toMatch(says);
      const judged = judgeLiveDatabase(path, method);
      expect([judged.structure, remarkTexts(judged).join('; ')]).toEqual([[], expect.stringMatching(says)]);
    }
  });
}

test('an index in the order of a function that the app has in another form is told, and the file is good', async () => {
  const path = join(scratch(), 'shop.sqlite');
  const database = new DatabaseSync(path);
  database.function('lower', { deterministic: true }, (text) => String(text).toLowerCase());
  database.exec("CREATE TABLE n (x); CREATE INDEX ni ON n (lower(x)); INSERT INTO n VALUES ('ÄB')");
  database.close();
  expect(await remarks(path, 'full')).toEqual(['the index ni of table n is out of step with it']);
});

test('a header that says more pages than there are is damage, in use too', async () => {
  const path = make('CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  const bytes = readFileSync(path);
  bytes.writeUInt32BE(900, 28);
  writeFileSync(path, bytes);
  await complaint(path);
  expect(judgeLiveDatabase(path, 'quick').structure.join()).toMatch(/900|malformed/);
  bytes.writeUInt32BE(bytes.length / 4096, 28);
  writeFileSync(path, bytes.subarray(0, -1));
  expect(judgeLiveDatabase(path, 'quick').structure).not.toEqual([]);
});

test('a tree that leads into its own pointer map is damage, not an error of ours', async () => {
  const path = make(
    `PRAGMA page_size = 512; PRAGMA auto_vacuum = 1; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT COLLATE NOCASE);
     CREATE INDEX ti ON t (v); ${numbers(300)} INSERT INTO t SELECT i, 'value ' || i FROM n`,
    [['NOCASE', 'MYCASE']],
  );
  const database = new DatabaseSync(path);
  const root = Number(database.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 't'").get()?.['rootpage']);
  database.close();
  const bytes = readFileSync(path);
  bytes.writeUInt32BE(2, (root - 1) * 512 + 8);
  writeFileSync(path, bytes);
  expect(await complaint(path)).toMatch(/pointer map|page 2/);
});

test('a migration is not blamed for findings that were there, however many', async () => {
  const tables = Array.from(
    { length: 25 },
    (_, index) => `CREATE TABLE t${index} (v); INSERT INTO t${index} VALUES (NULL);`,
  );
  const path = make(tables.join(''), [['(v)', '(v NOT NULL)']]);
  expect(judgeLiveDatabase(path, 'full').content.length).toBe(25);
  const { content, unchecked } = await verifyFile(path, { method: 'full' });
  expect([content.length, unchecked]).toEqual([20, [{ what: '5 more', why: 'only the first are listed' }]]);
});
