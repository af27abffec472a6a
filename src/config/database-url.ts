/**
 * What a `DATABASE_URL` names. Many tools read the same variable, each in its own form: Prisma, SQLAlchemy, Rails, JDBC,
 * a plain path. A form is understood where it can mean one file only; else it is refused with what to write instead. A
 * guess would back up another file than the app uses, and nobody would notice before the restore.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathForPrisma } from './prisma-path.ts';

type DatabasePlace = { readonly path: string } | { readonly fault: string };

const EXAMPLES = 'name the path of a SQLite file, also as file:./db/dev.sqlite or sqlite:///srv/app.sqlite';

/** @param url without quotes and blanks around it. */
export function readDatabaseUrl(url: string): DatabasePlace {
  // What is there under this very name is meant, however odd the name is.
  if (!isOfAnotherForm(url) && existsSync(url)) return { path: url };
  const unfilled = placeholderIn(url);
  if (unfilled !== null) return refuse(`${unfilled} is a placeholder that was not filled in; write the whole path`);
  if (url.startsWith('~/')) return refuse('~ is only understood by shells; write the whole path');
  const [, key, named = ''] = /^(data source|datasource|filename)\s*=\s*([^;]*)/i.exec(url) ?? [];
  if (key !== undefined) return readPath(named.trim(), '');
  const [, scheme = '', rest = ''] = /^((?:jdbc:)?[a-z][a-z0-9+.-]*):(.*)$/is.exec(url) ?? [];
  if (/^(file|sqlite3?|sqlite\+\w+)$/i.test(scheme)) return readForm(scheme.toLowerCase(), rest);
  if (/^jdbc:sqlite$/i.test(scheme)) {
    if (/^:resource:/i.test(rest)) return refuse('a database inside a program cannot be backed up');
    return /^file:/i.test(rest) ? readForm('file', rest.slice('file:'.length)) : readForm('jdbc', rest);
  }
  if (url === ':memory:') return inMemory;
  if (/^libsql$/i.test(scheme)) return refuse('that is a remote database; name a local file, as file:./local.db');
  if (rest.startsWith('//')) return refuse(`${scheme}: is a server, but SQLite databases are files; ${EXAMPLES}`);
  return { path: url };
}

const refuse = (fault: string): DatabasePlace => ({ fault });
const inMemory = refuse('a database in memory has no file that could be backed up');

function isOfAnotherForm(url: string): boolean {
  return /^(file|sqlite3?|sqlite\+\w+|jdbc|libsql):/i.test(url);
}

/** Placeholders of shells, compose files, templates and Symfony. */
function placeholderIn(url: string): string | null {
  return /\$\{[^}]*\}|\$\([^)]*\)|\{\{.*?\}\}|^\$\w+|%[a-z_]+(?:\.\w+)+%/i.exec(url)?.[0] ?? null;
}

/** @param rest what stands behind the colon: `./a.db`, `//./a.db`, `///srv/a.db?mode=ro`. */
function readForm(form: string, rest: string): DatabasePlace {
  const [place = '', query = ''] = rest.split(/\?(.*)/s);
  if (/(^|&)(mode=memory|vfs=memdb)(&|$)/i.test(query)) return inMemory;
  try {
    // JDBC takes it as it stands.
    return readPath(form === 'jdbc' ? place : decodeURIComponent(place), form);
  } catch {
    return refuse(`a percent sign in it is not followed by two hexadecimal digits; ${EXAMPLES}`);
  }
}

function readPath(place: string, form: string): DatabasePlace {
  if (/^(\/\/\/?)?:memory:$/.test(place)) return inMemory;
  const path = place
    .replace(/^\/\//, '')
    .replace(/^localhost(?=\/)/, '')
    // `sqlite:///./a.db` is relative for SQLAlchemy, and `sqlite:////srv/a.db` begins at the root.
    .replace(/^\/(?=\.\.?\/)/, '')
    .replace(/^\/\/+/, '/');
  if (path === '' || path.includes('\0')) return refuse(`it names no file; ${EXAMPLES}`);
  if (form === 'file') return pathForPrisma(path);
  // SQLAlchemy counts three slashes from the working folder, everybody else from the root.
  const isRelative = form.startsWith('sqlite') && /^\/\/\/[^/]/.test(place) && !existsSync(path);
  return { path: isRelative && existsSync(resolve(path.slice(1))) ? `.${path}` : path };
}
