/**
 * Finds the route of a request in the table, alike under every host. A fixed word wins over a parameter, a parameter
 * over the rest of a path, and the path decides before the method: `DELETE /now` is refused and deletes no `/:filename`.
 */
import type { Entry } from './layout.ts';
import type { Params } from './route.ts';

type Found =
  | { readonly kind: 'route'; readonly entry: Entry; readonly params: Params }
  | { readonly kind: 'method'; readonly allowed: readonly string[] }
  | { readonly kind: 'none' };

/** @returns what finds a method and a path, which is the one below the place where the routes stand. */
export function routeFinder(entries: readonly Entry[]): (method: string, path: string) => Found {
  const places = [...new Set(entries.map(({ path }) => path))]
    .sort((a, b) => (rank(a) < rank(b) ? -1 : 1))
    .map((path) => {
      const taken = entries.filter((entry) => entry.path === path);
      const allowed = taken.filter(({ route }) => !route.fallback).map(({ route }) => route.method);
      return { pattern: patternOf(path), taken, allowed };
    });
  return (method, path) => {
    const wanted = method === 'HEAD' ? 'GET' : method;
    for (const { pattern, taken, allowed } of places) {
      const match = pattern.exec(withoutLastSlash(path));
      if (!match) continue;
      const entry = taken.find(({ route }) => route.method === wanted);
      if (entry) return { kind: 'route', entry, params: paramsOf(match) };
      if (allowed.length > 0) return { kind: 'method', allowed };
    }
    return { kind: 'none' };
  };
}

const REST = 'rest';
/** A database's name needs no encoding, and an app may judge by the path: it is found under one address alone. */
const AS_IT_CAME = 'database';

function patternOf(path: string): RegExp {
  const source = withoutLastSlash(path)
    .replaceAll('.', '\\.')
    .replaceAll(/:(\w+)/g, '(?<$1>[^/]+)')
    .replace(/\*$/, `(?<${REST}>.*)`);
  return new RegExp(`^${source}$`);
}

/** Sorts the paths: by each of their words, fixed before a parameter before the rest. */
function rank(path: string): string {
  return path
    .split('/')
    .map((word) => (word === '*' ? '2' : word.startsWith(':') ? '1' : '0'))
    .join('');
}

function paramsOf({ groups = {} }: RegExpExecArray): Params {
  const params: Record<string, string> = {};
  for (const [name, value] of Object.entries(groups))
    params[name === REST ? '*' : name] = name === AS_IT_CAME ? value : decoded(value);
  return params;
}

/** As it came where it is no valid encoding: then it names nothing. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function withoutLastSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}
