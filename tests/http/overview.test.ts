/** What the overview of several databases asks for: the stream of all, their last day in brief, and errands. */
import { afterEach, expect, test } from 'bun:test';
import { databasesEvent, type DatabasesEvent } from '../../src/http/contract.ts';
import type { OpenApi } from '../../src/http/openapi.ts';
import { createServer } from '../../src/http/server.ts';
import { createFakeService, fakeGuard, type FakeService } from './fake-service.ts';

const PING_MS = 50;
const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** The user `root` may do everything, another one everything to the databases whose names begin with its own. */
function open(names: readonly string[]) {
  const services = new Map(names.map((name) => [name, createFakeService()]));
  const all = [...services].map(([name, service]) => ({ name, service }));
  const guard = fakeGuard(all);
  let mayRead = true;
  const server = createServer({
    service: guard,
    pingMs: PING_MS,
    onError: () => {},
    authorize(request, action, { database }) {
      const user = request.headers.get('authorization') ?? 'root';
      if (action === 'read' && !mayRead) return false;
      return user === 'root' || database?.startsWith(user) ? { user } : false;
    },
  });
  const ask = async (path: string, { as = 'root', ...init }: RequestInit & { as?: string } = {}) =>
    await server.fetch(new Request(`http://localhost/backup/${path}`, { ...init, headers: { authorization: as } }));
  const post = (path: string, body?: object, as?: string) =>
    ask(path, { method: 'POST', ...(body && { body: JSON.stringify(body) }), ...(as && { as }) });
  const of = (name: string): FakeService => services.get(name) ?? expect.unreachable(name);
  return { ask, post, of, guard, all, forbid: () => (mayRead = false) };
}

/** The events of a stream, one at a time; null at its end. */
async function listen(answer: Response): Promise<() => Promise<DatabasesEvent | null>> {
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader() ?? expect.unreachable();
  ends.push(() => reader.cancel());
  let rest = '';
  return async () => {
    for (;;) {
      const found = /event: databases\ndata: (.*)\n\n/.exec(rest);
      if (found?.[1]) {
        rest = rest.slice(found.index + found[0].length);
        return databasesEvent.parse(JSON.parse(found[1]));
      }
      const { done, value } = await reader.read();
      if (done) return null;
      rest += value;
    }
  };
}

/** The first event that holds one of that name for which it is so. */
async function rowThat(
  next: () => Promise<DatabasesEvent | null>,
  name: string,
  is: (row: Row) => boolean,
): Promise<Row> {
  for (;;) {
    const event = (await next()) ?? expect.unreachable('the stream ended');
    const row = event.databases.find((one) => one.name === name);
    if (row && is(row)) return row;
  }
}
type Row = DatabasesEvent['databases'][number];
const namesOf = (event: DatabasesEvent | null) => event?.databases.map(({ name }) => name);

test('the stream tells all of them first, and then those alone that changed', async () => {
  const { ask, of } = open(['a', 'b', 'c']);
  const next = await listen(await ask('api/events'));
  const first = await next();
  expect([first?.isAll, namesOf(first)]).toEqual([true, ['a', 'b', 'c']]);
  // Nothing happened: the time alone.
  expect([(await next())?.databases, (await next())?.isAll]).toEqual([[], false]);
  of('b').behaviour.verdict = 'too-old';
  of('b').emit({ type: 'status' });
  of('c').emit({ type: 'status' });
  const row = await rowThat(next, 'b', () => true);
  expect([row.code, row.tone, row.label]).toEqual(['too-old', 'red', 'Last backup is too old']);
});

test('what only time changes is found without an event', async () => {
  const { ask, of } = open(['a']);
  const next = await listen(await ask('api/events'));
  await next();
  of('a').behaviour.verdict = 'too-old';
  expect((await rowThat(next, 'a', () => true)).code).toBe('too-old');
});

test('a database that appears is told, and a stream ends with the right to read', async () => {
  const { ask, all, forbid } = open(['a']);
  const next = await listen(await ask('api/events'));
  expect(namesOf(await next())).toEqual(['a']);
  all.push({ name: 'b', service: createFakeService() });
  for (let event = await next(); namesOf(event)?.join() !== 'a,b'; event = await next()) expect(event).not.toBeNull();
  forbid();
  let event = await next();
  while (event !== null) event = await next();
});

test('a user hears of those alone that it may read, and ended streams listen to nothing', async () => {
  const { ask, of } = open(['ada-1', 'ada-2', 'ben-1']);
  const answer = await ask('api/events', { as: 'ada' });
  const next = await listen(answer);
  expect(namesOf(await next())).toEqual(['ada-1', 'ada-2']);
  expect([of('ada-1').listeners, of('ben-1').listeners]).toEqual([1, 0]);
  for (const end of ends.splice(0)) await end();
  expect([of('ada-1').listeners, of('ada-2').listeners]).toEqual([0, 0]);
});

test('the last day of those that are named comes in one answer, in a letter a run', async () => {
  const { ask } = open(['ada-1', 'ada-2', 'ben-1']);
  const { strips } = await (await ask('api/databases/activity?names=ada-1,ben-1,nobody', { as: 'ada' })).json();
  expect(Object.keys(strips)).toEqual(['ada-1']);
  expect(strips['ada-1']).toMatch(/^[fmwk-]{1,36}$/);
  expect((await ask('api/databases/activity')).status).toBe(422);
  const tooMany = Array.from({ length: 101 }, (_, index) => `a${index}`).join();
  expect((await ask(`api/databases/activity?names=${tooMany}`)).status).toBe(422);
});

test('four at a time are backed up, each once, and how it went is told in its row', async () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  const { ask, post, of } = open(names);
  const gate = Promise.withResolvers<void>();
  for (const name of names) of(name).behaviour.until = gate.promise;
  of('f').behaviour.runError = { code: 'DISK_FULL', message: 'no room', hint: 'Make some.' };
  const next = await listen(await ask('api/events'));
  const begun = await post('api/databases/backup', undefined);
  expect([begun.status, await begun.json()]).toEqual([202, { accepted: 6 }]);
  // Asked again meanwhile: they are on their way.
  expect(await (await post('api/databases/backup', { names: ['a', 'f'] })).json()).toEqual({ accepted: 0 });
  const { databases } = await (await ask('api/databases')).json();
  expect(databases.map(({ errand }: Row) => errand?.state)).toEqual([
    ...['running', 'running', 'running', 'running', 'waiting', 'waiting'],
  ]);
  gate.resolve();
  const failed = await rowThat(next, 'f', ({ errand }) => errand?.state === 'failed');
  expect(failed.errand).toEqual({ act: 'backup', state: 'failed', detail: 'no room' });
  for (const name of names) expect(of(name).calls.filter((call) => call.startsWith('performBackup')).length).toBe(1);
  expect(of('a').users.at(-1)).toBe('root');
});

test('a backup that is asked while a check waits, or goes on, is made after it, and its row tells the one that is current', async () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const { ask, post, of } = open(names);
  const gates = new Map(names.map((name) => [name, Promise.withResolvers<void>()]));
  for (const [name, { promise }] of gates) of(name).behaviour.until = promise;
  const next = await listen(await ask('api/events'));
  const accepted = async (act: string, some: readonly string[]) =>
    (await (await post(`api/databases/${act}`, { names: some })).json()).accepted;
  expect(await accepted('verify', names)).toBe(5);
  expect(await accepted('backup', ['a', 'e'])).toBe(2);
  expect(await accepted('backup', ['a', 'b'])).toBe(1);
  expect(await accepted('verify', names)).toBe(0);
  const { databases } = await (await ask('api/databases')).json();
  expect(databases.map(({ errand }: Row) => [errand?.act, errand?.state].join())).toEqual([
    ...Array.from({ length: 4 }, () => 'verify,running'),
    'verify,waiting',
  ]);
  gates.get('a')?.resolve();
  // It waits behind those that have waited longer.
  const { errand } = await rowThat(next, 'a', (row) => row.errand?.act === 'backup');
  expect(errand?.state).toBe('waiting');
  for (const { resolve } of gates.values()) resolve();
  const due = new Set(['a', 'b', 'e']);
  while (due.size > 0) {
    const told = (await next()) ?? expect.unreachable('the stream ended');
    for (const row of told.databases)
      if (row.errand?.act === 'backup' && row.errand.state === 'done') due.delete(row.name);
  }
  for (const name of ['a', 'b', 'e']) {
    const calls = of(name).calls.filter((call) => /^(performBackup|verifyBackup)/.test(call));
    expect(calls.map((call) => call.slice(0, 6))).toEqual(['verify', 'perfor']);
  }
});

test('the newest backup of those that are named is checked; without one that is said', async () => {
  const { ask, post, of } = open(['a', 'b']);
  const next = await listen(await ask('api/events'));
  of('a').behaviour.damaged = true;
  expect((await post('api/databases/verify', { names: ['a'] })).status).toBe(202);
  const { errand } = await rowThat(next, 'a', (row) => row.errand?.state === 'failed');
  expect(errand?.detail).toStartWith('the newest backup is damaged: ');
  expect(of('b').calls.filter((call) => call.startsWith('verify'))).toEqual([]);
});

test('nothing is begun when one of the names may not be used, whether it is there or not', async () => {
  const { post, of } = open(['ada-1', 'ben-1']);
  const answers = [];
  for (const name of ['ben-1', 'nobody']) {
    const answer = await post('api/databases/backup', { names: ['ada-1', name] }, 'ada');
    answers.push([answer.status, (await answer.text()).replaceAll(name, 'NAME')]);
  }
  expect(answers[0]?.[0]).toBe(404);
  expect(answers[0]).toEqual(answers[1]);
  expect((await post('api/databases/verify', undefined, 'nobody')).status).toBe(403);
  expect((await post('api/databases/backup', { names: [] })).status).toBe(422);
  expect([...of('ada-1').calls, ...of('ben-1').calls].filter((call) => /^(perform|verify)/.test(call))).toEqual([]);
  // All that it may is meant by all.
  expect(await (await post('api/databases/backup', undefined, 'ada')).json()).toEqual({ accepted: 1 });
});

test('the routes of all stand above several databases alone', async () => {
  const { ask } = open(['a']);
  const { paths } = (await (await ask('api/openapi.json')).json()) as OpenApi;
  for (const path of ['activity', 'backup', 'verify']) {
    expect(paths[`/api/databases/${path}`]).toBeDefined();
    expect(paths[`/db/{database}/api/databases/${path}`]).toBeUndefined();
  }
  const alone = createServer({ service: createFakeService(), authorize: () => true });
  expect((await alone.fetch(new Request('http://localhost/backup/api/databases/activity?names=a'))).status).toBe(404);
});
