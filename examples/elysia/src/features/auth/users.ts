/** Who may sign in, and who has. */
import { randomBytes } from 'node:crypto';
import { database } from '../_core/database.ts';

export interface User {
  readonly name: string;
  readonly role: 'admin' | 'member';
}

database.run('CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, role TEXT NOT NULL, hash TEXT NOT NULL)');

const sessions = new Map<string, User>();

export async function addUser(user: User, password: string): Promise<void> {
  const hash = await Bun.password.hash(password);
  database.query('INSERT OR REPLACE INTO users VALUES (?, ?, ?)').run(user.name, user.role, hash);
}

/** @returns the session's token, null for a wrong name or password. */
export async function signIn(name: string, password: string): Promise<string | null> {
  const found = database.query<User & { hash: string }, [string]>('SELECT * FROM users WHERE name = ?').get(name);
  if (!found || !(await Bun.password.verify(password, found.hash))) return null;
  const token = randomBytes(32).toString('base64url');
  sessions.set(token, { name: found.name, role: found.role });
  return token;
}

export function userOf(request: Request): User | undefined {
  const cookies = request.headers.get('cookie') ?? '';
  return sessions.get(/(?:^|; )session=([\w-]+)/.exec(cookies)?.[1] ?? '');
}
