/**
 * Databases as an enemy would make them: expressions that take hours or gigabytes, schemas that call what reads, writes or
 * loads, pages that lead to themselves, sizes that are lies. Each kind has a form for each seed.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { seededRandom } from './torture-random.ts';

export interface HostileOptions {
  readonly seed: number;
  /** What a file must never be made in, and what it would be named. */
  readonly outside: string;
}

type Random = (below: number) => number;
type Make = (path: string, random: Random, outside: string) => void;

/** Of values of a few bytes, or of hundreds of megabytes: each is true, and takes its time. */
const costly = (random: Random): string => {
  const size = 1 + random(9);
  const forms = [
    `length(hex(zeroblob(${size}00000000 + id))) > 0`,
    `length(hex(zeroblob(${size}000000 + id))) > 0`,
    `length(printf('%${size}0000000d', id)) > 0`,
    `length(printf('%.*c', ${size}00000000, 'x')) > 0`,
    `(hex(zeroblob(${200 + random(200)} + id)) LIKE '%0%0%0%0%0%0%0%0%1') = 0`,
    `(hex(zeroblob(${200 + random(200)} + id)) GLOB '*0*0*0*0*0*0*0*0*1') = 0`,
    `instr(hex(zeroblob(${size}000000 + id)), '1') = 0`,
    `length(replace(hex(zeroblob(${size}0000)), '0', hex(zeroblob(${size}000)))) > 0`,
    `json_valid(printf('%.*c', ${size}000000 + id, '['))  = 0`,
  ];
  return forms[random(forms.length)] ?? '1';
};

const escapes = (random: Random, outside: string): string => {
  const forms = [
    `load_extension('${outside}.so')`,
    `writefile('${outside}', a)`,
    `readfile('/etc/passwd')`,
    `edit(a, 'touch ${outside}')`,
    `fts3_tokenizer('simple', x'4141414141414141')`,
    `zipfile('${outside}', a)`,
    `system('touch ${outside}')`,
  ];
  return forms[random(forms.length)] ?? '1';
};

const ROWS = 20_000;

/** A table of rows, honest when it is filled; then its definition is exchanged. */
function table(path: string, change: (database: DatabaseSync) => void, before = ''): void {
  const database = new DatabaseSync(path, { defensive: false } as object); // newer than the types
  try {
    database.exec(`
      PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF;
      CREATE TABLE users (id INTEGER PRIMARY KEY, a TEXT);
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS}) INSERT INTO users SELECT i, 'x' FROM n;
      ${before}; PRAGMA writable_schema = ON;
    `);
    change(database);
  } finally {
    database.close();
  }
}

const asTable = (database: DatabaseSync, sql: string) =>
  void database.prepare("UPDATE sqlite_schema SET sql = ? WHERE name = 'users'").run(sql);
const add = (database: DatabaseSync, type: string, name: string, sql: string, of = name) =>
  void database.prepare('INSERT INTO sqlite_schema VALUES (?, ?, ?, 0, ?)').run(type, name, of, sql);

function withPages(path: string, change: (file: number, pageSize: number, pages: number) => void): void {
  const file = openSync(path, 'r+');
  try {
    const head = Buffer.alloc(100);
    readSync(file, head, 0, 100, 0);
    const pageSize = head.readUInt16BE(16) === 1 ? 65_536 : head.readUInt16BE(16);
    change(file, pageSize, Math.floor(fstatSync(file).size / pageSize));
  } finally {
    closeSync(file);
  }
}

function putUint32(file: number, at: number, value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  writeSync(file, bytes, 0, 4, at);
}

const hugeText = (random: Random) => 1_000 + random(4_000);

export const hostileKinds: Readonly<Record<string, Make>> = {
  'a generated column': (path, random) =>
    table(path, (database) =>
      asTable(database, `CREATE TABLE users (id INTEGER PRIMARY KEY, a TEXT, g AS (${costly(random)}) NOT NULL)`),
    ),
  'a CHECK': (path, random) =>
    table(path, (database) =>
      asTable(database, `CREATE TABLE users (id INTEGER PRIMARY KEY, a TEXT CHECK (${costly(random)}))`),
    ),
  'an index on an expression': (path, random) =>
    table(
      path,
      (database) =>
        void database
          .prepare("UPDATE sqlite_schema SET sql = ? WHERE name = 'i'")
          .run(`CREATE INDEX i ON users (${costly(random)})`),
      'CREATE INDEX i ON users (id > 0)',
    ),
  'a partial index': (path, random) =>
    table(
      path,
      (database) =>
        void database
          .prepare("UPDATE sqlite_schema SET sql = ? WHERE name = 'i'")
          .run(`CREATE INDEX i ON users (a) WHERE ${costly(random)}`),
      'CREATE INDEX i ON users (a) WHERE id > 0',
    ),
  'a view without end, called a table': (path, random) =>
    table(path, (database) => {
      const endless = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT * FROM n';
      add(database, 'table', 'orders', `CREATE VIEW orders AS ${endless}`);
      add(database, 'view', 'carts', `CREATE VIEW carts AS SELECT ${costly(random)} FROM users`);
    }),
  'views within views': (path, random) =>
    table(path, (database) => {
      const depth = 18 + random(8);
      add(database, 'view', 'v0', 'CREATE VIEW v0 AS SELECT id FROM users');
      for (let at = 1; at <= depth; at++)
        add(
          database,
          'view',
          `v${at}`,
          `CREATE VIEW v${at} AS SELECT * FROM v${at - 1} UNION ALL SELECT * FROM v${at - 1}`,
        );
      add(database, 'table', 'orders', `CREATE VIEW orders AS SELECT * FROM v${depth}`);
    }),
  'a trigger': (path, random, outside) =>
    table(path, (database) =>
      add(
        database,
        'trigger',
        't',
        `CREATE TRIGGER t AFTER INSERT ON users BEGIN SELECT ${escapes(random, outside)}; SELECT ${costly(random)}; END`,
        'users',
      ),
    ),
  'a column that escapes': (path, random, outside) =>
    table(path, (database) =>
      asTable(
        database,
        `CREATE TABLE users (id INTEGER PRIMARY KEY, a TEXT, g AS (${escapes(random, outside)}) NOT NULL CHECK (${escapes(random, outside)}))`,
      ),
    ),
  'a view that escapes, called a table': (path, random, outside) =>
    table(path, (database) => {
      add(database, 'table', 'orders', `CREATE VIEW orders AS SELECT ${escapes(random, outside)} FROM users AS a`);
      add(database, 'view', 'carts', `CREATE VIEW carts AS SELECT * FROM pragma_journal_mode('OFF')`);
    }),
  'a virtual table of a strange module': (path, random, outside) =>
    table(path, (database) => {
      const modules = [
        'zipfile',
        'csv',
        'fsdir',
        'sqlite_dbpage',
        'dbstat',
        'fts3tokenize',
        'fts5vocab',
        'bytecode',
        'rbu',
      ];
      for (const name of [modules[random(modules.length)], 'dbstat'])
        add(database, 'table', `v_${name}`, `CREATE VIRTUAL TABLE v_${name} USING ${name}(filename='${outside}')`);
    }),
  'a statement instead of a definition': (path, random, outside) =>
    table(path, (database) => {
      const forms = [
        `ATTACH '${outside}' AS x`,
        `VACUUM INTO '${outside}'`,
        `CREATE TABLE orders AS SELECT ${costly(random)} AS x FROM users`,
        `CREATE TABLE orders (x DEFAULT (load_extension('${outside}')))`,
        'PRAGMA writable_schema = ON',
      ];
      add(database, 'table', 'orders', forms[random(forms.length)] ?? '');
    }),
  'a schema of megabytes': (path, random) =>
    table(path, (database) => {
      const depth = hugeText(random);
      const forms = [
        `CREATE TABLE orders (x CHECK (${'('.repeat(depth)}1${')'.repeat(depth)}))`,
        `CREATE TABLE orders (${Array.from({ length: depth }, (_, at) => `c${at} DEFAULT '${'y'.repeat(500)}'`).join(', ')})`,
        `CREATE VIEW orders AS ${Array.from({ length: depth }, () => 'SELECT 1').join(' UNION ALL ')}`,
        `CREATE TABLE orders (x /*${'z'.repeat(depth * 1_000)}*/)`,
      ];
      add(database, 'table', 'orders', forms[random(forms.length)] ?? '');
    }),
  'a full-text index': (path, random) =>
    table(
      path,
      (database) => {
        const forms = [
          "UPDATE words_config SET v = 2147483647 WHERE k = 'version'",
          `UPDATE words_data SET block = zeroblob(${10 + random(1_000_000)})`,
          `UPDATE words_data SET block = randomblob(length(block)) WHERE id > ${random(20)}`,
          'UPDATE words_docsize SET sz = randomblob(9)',
          'UPDATE words_idx SET pgno = pgno * 2 + 1',
          'DELETE FROM words_content WHERE id % 3 = 0',
        ];
        database.exec(forms[random(forms.length)] ?? '');
      },
      "CREATE VIRTUAL TABLE words USING fts5(t); INSERT INTO words SELECT a || ' ' || id FROM users WHERE id < 2000",
    ),
  'an R-tree that leads to itself': (path, random) =>
    table(
      path,
      (database) => {
        const depth = 1 + random(30);
        database.exec(
          `UPDATE boxes_node SET data = CAST(x'00${depth.toString(16).padStart(2, '0')}' || substr(data, 3) AS BLOB)`,
        );
        database.exec('UPDATE boxes_parent SET parentnode = 1; UPDATE boxes_rowid SET nodeno = 1');
      },
      'CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1); INSERT INTO boxes SELECT id, id, id + 1 FROM users WHERE id < 3000',
    ),
  'two tables on one page': (path, random) =>
    table(path, (database) => {
      const roots = [
        "(SELECT rootpage FROM sqlite_schema WHERE name = 'users')",
        '1',
        '4294967295',
        '-1',
        '2147483648',
      ];
      database.exec(
        `INSERT INTO sqlite_schema VALUES ('table', 'orders', 'orders', ${roots[random(roots.length)]}, 'CREATE TABLE orders (x)')`,
      );
    }),
  'pages that lead to themselves': (path, random) => {
    table(path, () => {});
    withPages(path, (file, pageSize, pages) => {
      for (let change = 0; change < 3; change++) {
        const page = 2 + random(pages - 1);
        const head = Buffer.alloc(8);
        readSync(file, head, 0, 8, (page - 1) * pageSize);
        // The rightmost child of an inner page, or the first cell of a leaf.
        writeSync(file, Buffer.from([5]), 0, 1, (page - 1) * pageSize);
        putUint32(file, (page - 1) * pageSize + 8, 2 + random(pages - 1));
      }
    });
  },
  'a freelist without end': (path, random) => {
    table(
      path,
      () => {},
      'CREATE TABLE gone (x); INSERT INTO gone SELECT zeroblob(3000) FROM users WHERE id < 500; DROP TABLE gone',
    );
    withPages(path, (file, pageSize, pages) => {
      const head = Buffer.alloc(100);
      readSync(file, head, 0, 100, 0);
      const trunk = head.readUInt32BE(32) || pages;
      putUint32(file, (trunk - 1) * pageSize, [trunk, 1, pages + 5, 0xffffffff][random(4)] ?? 0);
      putUint32(file, (trunk - 1) * pageSize + 4, [0xffffffff, pageSize, 1][random(3)] ?? 0);
    });
  },
  'a header that lies': (path, random) => {
    table(path, () => {});
    withPages(path, (file) => {
      const lies: readonly (readonly [at: number, value: number])[] = [
        [28, 0xfffffffe],
        [28, 0x7fffffff],
        [36, 0xffffffff],
        [52, 0xffffffff],
        [48, 0x7fffffff],
        [56, 3 + random(100)],
        [44, 0xffffffff],
      ];
      const [at, value] = lies[random(lies.length)] ?? [28, 0];
      putUint32(file, at, value);
    });
  },
  'a file of holes': (path, random) => {
    table(path, (database) =>
      asTable(database, `CREATE TABLE users (id INTEGER PRIMARY KEY, a TEXT, g AS (${costly(random)}) NOT NULL)`),
    );
    withPages(path, (file, pageSize) => {
      const pages = 20_000 + random(1_000);
      ftruncateSync(file, pages * pageSize);
      putUint32(file, 28, pages);
    });
  },
  'bytes of chance': (path, random) => {
    table(path, () => {}, 'CREATE INDEX i ON users (a, id)');
    withPages(path, (file) => {
      const { size } = fstatSync(file);
      for (let change = 0; change < 40; change++)
        writeSync(file, Buffer.from([random(256)]), 0, 1, (change < 3 ? 16 : 100) + random(size - 200));
    });
  },
};

/** Makes it at that path, where nothing is. */
export function makeHostile(kind: string, path: string, { seed, outside }: HostileOptions): void {
  const { between } = seededRandom(seed);
  const random: Random = (below) => between(0, below - 1);
  hostileKinds[kind]?.(path, random, outside);
}
