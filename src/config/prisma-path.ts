/**
 * Prisma counts the path in `file:./dev.db` from the folder of its schema, everybody else from the working folder. One
 * variable serves both, so where there is a schema that reads it, its file is meant.
 *
 * From version 7 on a schema names no address, and Prisma counts as everybody does: such a schema changes nothing here.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';

/** @param path of the form `file:`, as it was written. */
export function pathForPrisma(path: string): { readonly path: string } | { readonly fault: string } {
  const schema = isAbsolute(path) ? null : findSchema();
  if (schema === null) return { path };
  const meant = join(dirname(schema), path);
  if (resolve(meant) === resolve(path)) return { path };
  if (!existsSync(path)) return { path: `./${meant}` };
  if (!existsSync(meant)) return { path };
  return {
    fault: `it names two files: ${path} in the working directory, and ${meant}, which is what Prisma means; write the whole path, for example file:${resolve(meant)}`,
  };
}

const FILES_MAX = 200;

/** The file of Prisma's schema that takes its SQLite database from `DATABASE_URL`, seen from the working folder. */
function findSchema(): string | null {
  const places = [schemaOfPackage(), 'prisma/schema.prisma', 'prisma/schema', 'prisma', 'schema.prisma'];
  return places.flatMap((place) => (place === null ? [] : filesOf(place))).find(readsOurVariable) ?? null;
}

function schemaOfPackage(): string | null {
  const text = textOf('package.json');
  try {
    const { prisma }: { prisma?: { schema?: unknown } } = JSON.parse(text);
    return typeof prisma?.schema === 'string' ? relative('', prisma.schema) : null;
  } catch {
    return null;
  }
}

/** The file itself, or each part of a schema that is split over a folder. */
function filesOf(place: string): readonly string[] {
  try {
    if (!statSync(place).isDirectory()) return [place];
    const parts = readdirSync(place).filter((name) => name.endsWith('.prisma'));
    return parts.slice(0, FILES_MAX).map((name) => join(place, name));
  } catch {
    // None of these is ours: what can't be read is not there.
    return [];
  }
}

function readsOurVariable(file: string): boolean {
  const text = textOf(file).replaceAll(/^\s*\/\/.*$/gm, '');
  const [, source = ''] = /\bdatasource\s+\w+\s*\{([^}]*)\}/.exec(text) ?? [];
  return /\bprovider\s*=\s*"sqlite"/.test(source) && /\burl\s*=\s*env\(\s*"DATABASE_URL"\s*\)/.test(source);
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
