/** Who may sign in, and who has. */
import { randomBytes } from 'node:crypto';
import { database } from '../_core/database.ts';

export interface User {
  readonly name: string;
  readonly role: 'admin' | 'member';
}

database.run('CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, role TEXT NOT NULL, hash TEXT NOT NULL)');

const SESSION_MS = 12 * 60 * 60_000;
const FREE_FAILURES = 5;
const WAIT_MS = 60_000;
const sessions = new Map<string, { readonly user: User; readonly untilMs: number }>();
/** By address: whoever guesses at a name must not keep its owner out. */
const failures = new Map<string, { readonly count: number; readonly atMs: number }>();
/** Compared where there is no such user: the time of an answer tells nobody's name. */
const nobody = await Bun.password.hash(randomBytes(16).toString('hex'));

export async function addUser(user: User, password: string): Promise<void> {
  const hash = await Bun.password.hash(password);
  database.query('INSERT OR REPLACE INTO users VALUES (?, ?, ?)').run(user.name, user.role, hash);
}

/** @returns the session's token; null for a wrong name or password, and for who guessed too often. */
export async function signIn(name: string, password: string, address: string): Promise<string | null> {
  const { count, atMs } = failures.get(address) ?? { count: 0, atMs: 0 };
  if (count >= FREE_FAILURES && Date.now() - atMs < WAIT_MS) return null;
  // Counted before anything is awaited: a hundred guesses at once are not one.
  if (failures.size >= 10_000) failures.clear();
  failures.set(address, { count: count + 1, atMs: Date.now() });
  const found = database.query<User & { hash: string }, [string]>('SELECT * FROM users WHERE name = ?').get(name);
  const isRight = await Bun.password.verify(password, found?.hash ?? nobody);
  if (!found || !isRight) return null;
  failures.delete(address);
  const token = randomBytes(32).toString('base64url');
  sessions.set(token, { user: { name: found.name, role: found.role }, untilMs: Date.now() + SESSION_MS });
  return token;
}

export function userOf(request: Request): User | undefined {
  const cookies = request.headers.get('cookie') ?? '';
  const session = sessions.get(/(?:^|; )session=([\w-]+)/.exec(cookies)?.[1] ?? '');
  return session && session.untilMs > Date.now() ? session.user : undefined;
}
