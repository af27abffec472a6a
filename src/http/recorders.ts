/** What goes into the audit record and into the log of faults before a service is asked, within limits for each client. */
import { inspect } from 'node:util';
import { BackupError, traitsOf } from '../words/errors.ts';
import { visibleText } from '../words/visible-text.ts';
import { type Actor, actingAs, shortAgent } from '../service/audit/actor.ts';
import type { Act } from '../service/audit/audit.ts';
import type { FleetPort } from '../fleet/fleet-port.ts';
import { clientAddressOf, WordsPerClient } from './client.ts';
import { backupName } from './contract.ts';
import type { Params, Recorder } from './route.ts';

/** For the audit record: whatever is done inside bears it. */
export function actorOf(request: Request, user: string | undefined): Actor {
  const { headers } = request;
  const isPage = headers.has('cookie') || headers.has('sec-fetch-site') || headers.has('origin');
  return {
    user: user ?? null,
    via: isPage && !headers.has('authorization') ? 'page' : 'api',
    address: clientAddressOf(request) ?? null,
    agent: shortAgent(headers.get('user-agent')),
  };
}

/** What goes into the audit record before a service is asked; of one client no more than so much. */
export function recorders(fleet: FleetPort, nowMs: () => number) {
  const words = new WordsPerClient(nowMs);
  function write(request: Request, act: Act, user: string | undefined, database?: string): void {
    const named = fleet.databases.find(({ name }) => name === database)?.service;
    const leftOut = act.result === 'refused' ? words.take(clientAddressOf(request)) : 0;
    if (leftOut === null) return;
    const detail = leftOut > 0 ? `${act.detail ?? ''} (and ${leftOut} more before it)`.trim() : act.detail;
    actingAs(actorOf(request, user), () => (named ?? fleet).recordAct({ ...act, detail }));
  }
  const record: Recorder = (request, act, user) => write(request, act, user);
  function refuse(
    request: Request,
    { method, path, params, user }: { method: string; path: string; params: Params; user: string | undefined },
    thrown: unknown,
  ): void {
    if (!(thrown instanceof BackupError) || traitsOf(thrown.code).blames !== 'visitor') return;
    // Nothing of the address itself is written but the name of a backup: a stranger chose it.
    const name = backupName.test(params.filename ?? '') ? ` (${params.filename})` : '';
    const { code, message: detail } = thrown;
    const act = { act: 'request', subject: `${method} ${path}${name}`, result: 'refused', code, detail } as const;
    // Only a session is asked for the password.
    write(request, act, code === 'PASSWORD_AGAIN' ? 'admin' : user, params.database);
  }
  return { record, refuse };
}

/** Faults of one client are written up to a limit: each has a stack. */
export function faultLog(nowMs: () => number): (error: unknown, request: Request) => void {
  const words = new WordsPerClient(nowMs);
  return (error, request) => {
    const leftOut = words.take(clientAddressOf(request));
    if (leftOut === null) return;
    const more = leftOut > 0 ? ` (and ${leftOut} more before it)` : '';
    const { pathname } = new URL(request.url);
    console.error(visibleText(`[Backup] ${request.method} ${pathname} failed${more}: ${inspect(error)}`));
  };
}
