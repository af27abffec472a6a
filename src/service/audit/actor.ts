/**
 * The actor, for the audit record: the routes and the command line say so around what they ask of the service, and
 * whatever is recorded inside bears it. An app that calls the service itself says nothing: that is `library`.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

export interface Actor {
  /** The name that the app or the server gave; on the command line the user of the operating system. */
  readonly user: string | null;
  readonly via: 'page' | 'api' | 'cli' | 'library' | 'service';
  /** The client's address as the server sees it; behind a proxy the proxy's. */
  readonly address: string | null;
  /** What the client calls itself, cut short. */
  readonly agent: string | null;
}

/** Retention: after a run, where nobody asked, or of a prune, whose own row says who did. */
export const THE_SERVICE_ITSELF: Actor = { user: null, via: 'service', address: null, agent: null };
const AGENT_MAX = 120;

const actors = new AsyncLocalStorage<Actor>();

export function actingAs<Result>(actor: Actor, work: () => Result): Result {
  return actors.run(actor, work);
}

/** @param user that the call itself names, where nobody said who acts. */
export function currentActor(user: string | null = null): Actor {
  return actors.getStore() ?? { user, via: 'library', address: null, agent: null };
}

/** One line of the client's own words, which may be anything. */
export function shortAgent(agent: string | null): string | null {
  const line = agent?.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').trim() ?? '';
  return line === '' ? null : line.slice(0, AGENT_MAX);
}
