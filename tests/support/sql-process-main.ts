/** See `sql-process.ts`. */
import { DatabaseSync } from 'node:sqlite';
import { createInterface } from 'node:readline';

const [, , path = ''] = process.argv;
const connections = new Map<string, DatabaseSync>();

function open(name: string): DatabaseSync {
  const known = connections.get(name);
  if (known) return known;
  const made = new DatabaseSync(path);
  made.exec('PRAGMA busy_timeout = 5000');
  connections.set(name, made);
  return made;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { sql, connection, close } = JSON.parse(line);
  try {
    let rows: unknown[] = [];
    if (close) {
      connections.get(connection)?.close();
      connections.delete(connection);
    } else if (/^\s*(select|pragma|with)/i.test(sql) && !/;\s*\S/.test(sql)) rows = open(connection).prepare(sql).all();
    else open(connection).exec(sql);
    console.log(JSON.stringify({ rows }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
}
