/**
 * One writer per place, held against a folder, memory, and an S3 bucket: whatever keeps bytes by key, the same machines
 * get the same answers. What only a server can do (ignore a condition, refuse a right) follows in its own part.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalStore } from '../../src/engine/store/folder/store.ts';
import type { ObjectStore } from '../../src/engine/store/store.ts';
import { createS3Store, type S3Store } from '../../src/engine/store/s3/store.ts';
import { claimWriter, holdPlace, seeWriter } from '../../src/engine/writer/writer.ts';
import type { Place } from '../../src/engine/writer/objects.ts';
import { ADDRESS, Machine } from '../support/machines.ts';
import { moveClock } from '../support/moved-clock.ts';
import { failure, keysOf, once, textOf } from '../support/objects.ts';
import { openBucket } from '../support/bucket.ts';
import { createMemoryStore } from './memory-store.ts';

setDefaultTimeout(120_000);

/** A minute, which no busy machine takes from one step of a test to the next: time passes only when it is told to. */
const EVERY_MS = 60_000;
/** More than three ticks, and the second to which servers round. */
const SILENCE_MS = 3 * EVERY_MS + 1_100;
const DAY_MS = 86_400_000;

const { server } = await openBucket('writers');
/** The S3 server lives by it. */
const clock = moveClock();
let root: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'velist-writers-'));
});
afterAll(async () => {
  clock[Symbol.dispose]();
  rmSync(root, { recursive: true, force: true });
});

interface Kind {
  readonly place: Place;
  /** Lets time pass for the server. */
  pass(ms: number): Promise<void>;
}

const kinds: readonly (readonly [string, () => Kind])[] = [
  ['memory', inMemory],
  ['folder', inFolder],
  ['s3', inBucket],
];

function inMemory(): Kind {
  let nowMs = Date.parse('2026-01-01T00:00:00Z');
  const store = createMemoryStore({ now: () => new Date(nowMs) });
  return {
    place: { store, prefix: 'backups/shop' },
    async pass(ms) {
      nowMs += ms;
    },
  };
}

/** The file system gives its objects the time of this machine, so they are made older instead. */
function inFolder(): Kind {
  const folder = join(root, randomUUID());
  return {
    place: { store: createLocalStore({ root: folder }), prefix: 'backups/shop' },
    async pass(ms) {
      for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const path = join(entry.parentPath, entry.name);
        const at = new Date((await stat(path)).mtimeMs - ms);
        utimesSync(path, at, at);
      }
    },
  };
}

function inBucket(): Kind {
  const prefix = `backups/${randomUUID()}`;
  const store = createS3Store({ ...server, bucket: 'writers', prefix, maxAttempts: 2 });
  return { place: { store: store.root, prefix }, pass: async (ms) => clock.advance(ms) };
}

function machine(place: Place, host: string, change: { readonly now?: () => Date } = {}): Machine {
  return new Machine({ ...{ host, place, everyMs: EVERY_MS, folder: mkdtempSync(join(root, 'm-')) }, ...change });
}

const namesIn = async ({ store, prefix }: Place) =>
  (await keysOf(store, `${prefix}/writer/`)).map((key) => key.slice(`${prefix}/writer/`.length));

const epochsIn = async (place: Place) => (await namesIn(place)).filter((name) => /^\d{10}\.json$/.test(name));

describe.each(kinds)('one writer in %s', (_name, open) => {
  let kind: Kind;
  let place: Place;
  beforeEach(() => {
    kind = open();
    place = kind.place;
  });
  afterEach(() => place.store.close());

  test('the first to write takes the place, and writes on without another question', async () => {
    const production = machine(place, 'production');
    expect((await production.hold()).epoch).toBe(1);
    expect((await production.hold()).epoch).toBe(1);
    expect(await epochsIn(place)).toEqual(['0000000001.json']);
    const written = JSON.parse(await textOf(place.store, `${place.prefix}/writer/0000000001.json`));
    expect(written).toMatchObject({
      format: 'velist-backup-writer/1',
      host: 'production',
      path: 'path',
      claimed: false,
    });
    expect(written).toMatchObject({ token: production.token, installation: production.installation?.id });
    expect(production.held).toMatchObject({ epoch: 1, isHeld: true, beats: 0, sparesOthersUntil: null });
    expect(production.news.map(({ type }) => type)).toEqual(['holds', 'holds']);
  });

  test('another installation is refused while the writer lives, hears who it is, and leaves nothing behind', async () => {
    const [production, staging] = [machine(place, 'production'), machine(place, 'staging')];
    await production.hold();
    await production.beat();
    const before = await namesIn(place);
    const refused = await failure(staging.hold());
    expect(refused.code).toBe('PLACE_TAKEN');
    expect(refused.message).toContain('production has been writing to backups/');
    expect(refused.message).toMatch(/since 20\d\d-.*, last seen at 20\d\d-/);
    expect(staging.news).toMatchObject([{ type: 'stopped', by: { kind: 'other', host: 'production' } }]);
    expect(await staging.look()).toMatchObject({ kind: 'other', host: 'production' });
    expect(await namesIn(place)).toEqual(before);
    expect((await production.hold()).epoch).toBe(1);
  });

  test('a writer that released the place is followed at once', async () => {
    const [production, staging] = [machine(place, 'production'), machine(place, 'staging')];
    await production.hold();
    await production.beat();
    await production.release();
    expect(production.held?.isHeld).toBe(false);
    expect((await namesIn(place)).filter((name) => name.startsWith('beat-'))).toEqual([]);
    expect((await staging.hold()).epoch).toBe(2);
    expect(staging.news).toMatchObject([{ from: { host: 'production', wasReleased: true } }]);
  });

  test('a writer that was silent for three ticks is followed, and finds that out when it comes back', async () => {
    const [production, staging] = [machine(place, 'production'), machine(place, 'staging')];
    await production.hold();
    await production.beat();
    await kind.pass(SILENCE_MS);
    expect((await staging.hold()).epoch).toBe(2);
    expect(staging.news).toMatchObject([{ from: { kind: 'other', host: 'production', wasReleased: false } }]);
    await staging.beat();
    expect((await failure(production.hold())).message).toContain('staging has been writing to');

    // It is the same database, and a person says so.
    const claimed = await claimWriter(place, production.request({}), production.context);
    expect(claimed).toMatchObject({ epoch: 3, from: { host: 'staging' } });
    expect((await failure(staging.hold())).message).toContain('production has been writing to');
    expect((await production.hold()).sparesAllBut).toBeNull();
  });

  test('whoever takes over without knowing the place removes nothing of others for seven days of the server', async () => {
    let aheadMs = 0;
    const staging = machine(place, 'staging', { now: () => new Date(Date.now() + aheadMs) });
    await place.store.put(`${place.prefix}/backup-2024-01-15T10-30-00-000Z.sqlite.json`, once('{}'));
    const first = await staging.hold();
    expect(first.sparesAllBut).toBe(staging.installation?.id ?? '');
    const until = Date.parse(staging.held?.sparesOthersUntil ?? '');
    const took = await place.store.head(`${place.prefix}/writer/0000000001.json`);
    expect(Math.abs(until - (took?.modifiedAt.getTime() ?? 0) - 7 * DAY_MS)).toBeLessThan(1_000);
    staging.restart();
    expect((await staging.hold()).sparesAllBut).not.toBeNull();

    // A clock that jumps ahead ends nothing.
    aheadMs = 400 * DAY_MS;
    expect((await staging.hold()).sparesAllBut).not.toBeNull();
    await claimWriter(place, staging.request({}), staging.context);
    expect((await staging.hold()).sparesAllBut).toBeNull();
  });

  test('whoever knows the place, or finds it empty, spares nothing', async () => {
    expect((await machine(place, 'new').hold()).sparesAllBut).toBeNull();
    const old = open().place;
    await old.store.put(`${old.prefix}/backup-2024-01-15T10-30-00-000Z.sqlite.json`, once('{}'));
    expect((await machine(old, 'upgraded').hold({ knowsPlace: true })).sparesAllBut).toBeNull();
    old.store.close();
  });

  test('after another installation wrote there, its backups are spared too, by whoever follows', async () => {
    const [production, staging] = [machine(place, 'production'), machine(place, 'staging')];
    await production.hold({ knowsPlace: true });
    await place.store.put(`${place.prefix}/backup-2024-01-15T10-30-00-000Z.sqlite.json`, once('{}'));
    await production.release();
    expect((await staging.hold()).sparesAllBut).not.toBeNull();
    await staging.release();
    production.restart();
    expect((await production.hold({ knowsPlace: true })).sparesAllBut).not.toBeNull();
  });

  test('a crash and a restart go on within the ticks, as the same installation', async () => {
    const production = machine(place, 'production');
    await production.hold();
    await production.beat();
    await production.beat();
    production.restart();
    expect((await production.hold()).epoch).toBe(2);
    expect(production.news.at(-1)).toMatchObject({ type: 'holds', from: null, sparesOthersUntil: null, clones: [] });
    await production.beat();
    expect(production.held).toMatchObject({ epoch: 2, beats: 1 });
  });

  test('a crash between the epoch and our note of it is no clone', async () => {
    const production = machine(place, 'production');
    await production.hold();
    const [image, token] = [production.image(), production.token];
    await production.setBackTo(image);
    await production.hold();
    // As if it had crashed before it noted the second epoch, and after it noted the token.
    const { token: taken } = production;
    await production.setBackTo(image);
    expect(taken).not.toBe(token);
    const crashed = JSON.parse(await Bun.file(production.installationPath).text());
    writeFileSync(production.installationPath, JSON.stringify({ ...crashed, taking: { [ADDRESS]: taken } }));
    expect((await production.hold()).epoch).toBe(3);
  });

  test('the command line writes under the running service, and takes over when it died', async () => {
    const service = machine(place, 'production');
    const commandLine = new Machine(service.options);
    await service.hold();
    await service.beat();
    expect((await commandLine.hold({ isCommandLine: true })).epoch).toBe(1);
    expect(commandLine.news).toMatchObject([{ type: 'holds', isOwn: false }]);
    expect(service.held?.token).toBe(service.token);
    await kind.pass(SILENCE_MS);
    expect((await commandLine.hold({ isCommandLine: true })).epoch).toBe(2);
    expect(commandLine.news.at(-1)).toMatchObject({ isOwn: true, from: null });
    // The service is not dead after all: it writes on beside it.
    expect((await service.hold()).epoch).toBe(2);
    expect(await service.beat()).toEqual([]);
  });

  test('a heartbeat that is renewed while the command line looks is no clone’s', async () => {
    const service = machine(place, 'production');
    await service.hold();
    await service.beat();
    let isBeating = true;
    const store: ObjectStore = {
      ...place.store,
      async *list(prefix, options) {
        if (prefix.includes('beat-') && isBeating) {
          isBeating = false;
          await service.beat();
        }
        yield* place.store.list(prefix, options);
      },
    };
    const commandLine = new Machine({ ...service.options, place: { ...place, store } });
    expect((await commandLine.hold({ isCommandLine: true })).epoch).toBe(1);
    expect(isBeating).toBe(false);
  });

  test('a clone of the disk stops while the original lives, and both know', async () => {
    const original = machine(place, 'production');
    await original.hold();
    await original.beat();
    const image = original.image();
    await original.beat();
    const clone = machine(place, 'production-copy');
    await clone.setBackTo(image);
    expect((await failure(clone.hold())).code).toBe('CLONED');
    expect(clone.news).toMatchObject([{ type: 'stopped', by: { kind: 'clone', host: 'production' } }]);
    expect((await original.hold()).epoch).toBe(1);
    expect(original.news.at(-1)).toMatchObject({ type: 'holds', clones: [{ kind: 'clone' }] });
    // Said once, until the clone tries again.
    await original.hold();
    expect(original.news.at(-1)).toMatchObject({ type: 'holds', clones: [] });
    expect(await clone.look()).toMatchObject({ kind: 'clone' });
    const seen = await seeWriter(place, { ...original.request({}), address: ADDRESS }, original.context);
    expect(seen).toMatchObject({ type: 'seen', newest: { token: original.token }, clones: [{ kind: 'clone' }] });
  });

  test('a clone that is faster than the next heartbeat stops the original, and both know', async () => {
    const original = machine(place, 'production');
    await original.hold();
    await original.beat();
    const clone = machine(place, 'production-copy');
    await clone.setBackTo(original.image());
    expect((await clone.hold()).epoch).toBe(2);
    expect((await failure(original.hold())).code).toBe('CLONED');
    await clone.hold();
    expect(clone.news.at(-1)).toMatchObject({ clones: [{ kind: 'clone' }] });
  });

  test('of two copies of one running process the second to renew its heartbeat stops', async () => {
    const original = machine(place, 'production');
    await original.hold();
    await original.beat();
    const copy = original.resumedOn(mkdtempSync(join(root, 'm-')));
    await original.beat();
    expect((await failure(copy.beat())).code).toBe('CLONED');
    await original.beat();
    // Both wrote between their looks: the one whose renewal was overwritten stops.
    const another = original.resumedOn(mkdtempSync(join(root, 'm-')));
    await another.beat();
    expect((await failure(original.beat())).code).toBe('CLONED');
    await another.beat();
  });

  test('a machine set back to an older image goes on at once where its writer was released', async () => {
    const production = machine(place, 'production');
    await production.hold();
    await production.beat();
    const image = production.image();
    await production.release();
    production.restart();
    await production.hold();
    await production.beat();
    await production.release();
    await production.setBackTo(image);
    expect((await production.hold()).epoch).toBe(3);
  });

  test('where it was not released, it goes on after three ticks', async () => {
    const production = machine(place, 'production');
    await production.hold();
    await production.beat();
    const image = production.image();
    await production.beat();
    await production.setBackTo(image);
    expect((await failure(production.hold())).code).toBe('CLONED');
    await kind.pass(SILENCE_MS);
    expect((await production.hold()).epoch).toBe(2);
    expect(production.news.at(-1)).toMatchObject({ from: null, sparesOthersUntil: null });
  });

  test('of two machines that race for one epoch exactly one becomes the writer', async () => {
    for (let round = 1; round <= 3; round++) {
      const rivals = Array.from({ length: 6 }, (_, number) => machine(place, `rival-${round}-${number}`));
      const ended = await Promise.allSettled(rivals.map((rival) => rival.hold()));
      const winners = rivals.filter((_, number) => ended[number]?.status === 'fulfilled');
      expect(winners.length).toBe(1);
      for (const outcome of ended)
        if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'PLACE_TAKEN' });
      expect(await epochsIn(place)).toContain(`${String(round).padStart(10, '0')}.json`);
      await winners[0]?.release();
    }
  });

  test('two processes of one installation that begin at once agree', async () => {
    const service = machine(place, 'production');
    const commandLine = new Machine(service.options);
    const [first, second] = await Promise.all([service.hold(), commandLine.hold({ isCommandLine: true })]);
    expect(Math.max(first.epoch, second.epoch)).toBeLessThanOrEqual(2);
    expect((await service.hold()).epoch).toBe((await commandLine.hold({ isCommandLine: true })).epoch);
  });

  test('clocks that are hours wrong change nothing', async () => {
    const shifted = (hours: number) => ({ now: () => new Date(Date.now() + hours * 3_600_000) });
    const slow = machine(place, 'slow', shifted(-9));
    const fast = machine(place, 'fast', shifted(+9));
    await slow.hold();
    await slow.beat();
    expect((await failure(fast.hold())).code).toBe('PLACE_TAKEN');
    await kind.pass(SILENCE_MS);
    expect((await fast.hold()).epoch).toBe(2);
    await fast.beat();
    expect((await failure(slow.hold())).code).toBe('PLACE_TAKEN');
  });

  test('an installation without its file is a stranger: it waits for its own old start', async () => {
    const production = machine(place, 'production');
    await production.hold();
    await place.store.put(`${place.prefix}/backup-2024-01-15T10-30-00-000Z.sqlite.json`, once('{}'));
    await production.beat();
    await production.forget();
    expect((await failure(production.hold())).code).toBe('PLACE_TAKEN');
    await kind.pass(SILENCE_MS);
    expect((await production.hold()).sparesAllBut).toBe(production.installation?.id ?? '');
  });

  test('an epoch that can not be read is somebody’s until it was silent', async () => {
    await place.store.put(`${place.prefix}/writer/0000000004.json`, once('{"format":"velist-backup-writer/9"}'));
    const production = machine(place, 'production');
    expect((await failure(production.hold())).message).toContain('a machine of unknown name');
    const claimed = await claimWriter(place, production.request({}), production.context);
    expect(claimed).toEqual({ epoch: 5, from: null });
    expect((await production.hold()).epoch).toBe(5);
  });

  test('epochs that somebody removed are not counted anew', async () => {
    const production = machine(place, 'production');
    await production.hold();
    await production.beat();
    await place.store.deleteMany(await keysOf(place.store, `${place.prefix}/writer/`));
    expect((await production.hold()).epoch).toBe(2);
    await production.beat();
  });

  test('of old epochs the newest three stay', async () => {
    const production = machine(place, 'production');
    for (let start = 0; start < 6; start++) {
      production.restart();
      await production.hold();
      await production.release();
    }
    expect((await namesIn(place)).map((name) => name.slice(0, 10))).toEqual([
      ...['0000000004', '0000000004', '0000000005', '0000000005', '0000000006', '0000000006'],
    ]);
  });

  test('a state that can not be written lets backups go on, and removes nothing of others', async () => {
    const folder = join(root, randomUUID());
    writeFileSync(folder, 'a file where the folder should be');
    const production = new Machine({ host: 'production', place, everyMs: EVERY_MS, folder: join(folder, 'state') });
    expect((await production.hold()).sparesAllBut).toBe('made up');
    await production.beat();
    expect((await production.hold()).epoch).toBe(1);
    expect((await failure(machine(place, 'staging').hold())).code).toBe('PLACE_TAKEN');
  });
});

describe('at a server of its own kind', () => {
  let place: Place;
  let store: S3Store;
  beforeEach(() => {
    const prefix = `own/${randomUUID()}`;
    store = createS3Store({ ...server, bucket: 'writers', prefix, maxAttempts: 2 });
    place = { store: store.root, prefix };
  });
  afterEach(() => {
    server.faults.length = 0;
    store.close();
  });
  const refuse = (match: RegExp, status = 403) =>
    server.faults.push({ match, effect: { status, code: status === 403 ? 'AccessDenied' : 'NotImplemented' } });

  /**
   * For machines that begin at one moment, however busy this one is: all have looked before the first of them writes such a
   * key, and all have written before the first goes on.
   */
  function inStep(store: ObjectStore, keys: RegExp, machines: number): ObjectStore {
    const waiting: (() => void)[] = [];
    const allAreHere = async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (waiting.push(resolve) === machines) for (const goOn of waiting.splice(0)) goOn();
      await promise;
    };
    return {
      ...store,
      async putIfAbsent(key, bytes, options) {
        if (!keys.test(key)) return await store.putIfAbsent(key, bytes, options);
        await allAreHere();
        const isFirst = await store.putIfAbsent(key, bytes, options);
        await allAreHere();
        return isFirst;
      },
    };
  }

  test('that ignores the condition of a create-only write, a second look finds the one writer', async () => {
    server.faults.push({ match: /^PUT/, effect: 'ignore conditions' });
    const hosts = ['a', 'b', 'c', 'd'];
    const store = inStep(place.store, /writer\/0000000001\.json$/, hosts.length);
    const rivals = hosts.map((host) => machine({ ...place, store }, host));
    const ended = await Promise.allSettled(rivals.map((rival) => rival.hold()));
    expect(ended.filter(({ status }) => status === 'fulfilled').length).toBe(1);
    const again = await Promise.allSettled(rivals.map((rival) => rival.hold()));
    expect(again.filter(({ status }) => status === 'fulfilled').length).toBe(1);
  });

  test('that overwrites an epoch all the same, its holder finds that out at the next write', async () => {
    const [production, staging] = [machine(place, 'production'), machine(place, 'staging')];
    await production.hold();
    const key = `${place.prefix}/writer/0000000001.json`;
    const text = (await textOf(place.store, key)).replace(production.token, staging.token);
    await place.store.put(key, once(text.replace(/"installation": "[^"]*"/, '"installation": "theirs"')));
    expect((await failure(production.hold())).code).toBe('PLACE_TAKEN');
  });

  test('that has no create-only write at all, the place is taken by a plain one', async () => {
    server.faults.push({
      match: /^PUT .*writer.*0001\.json/,
      effect: { status: 501, code: 'NotImplemented' },
      times: 1,
    });
    const production = machine(place, 'production');
    expect((await production.hold()).epoch).toBe(1);
    expect((await failure(machine(place, 'staging').hold())).code).toBe('PLACE_TAKEN');
  });

  test('where nothing may be replaced, each heartbeat has a key of its own', async () => {
    refuse(/^PUT .*beat-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.json/);
    const [production, staging] = [machine(place, 'production'), machine(place, 'staging')];
    await production.hold();
    for (let beats = 0; beats < 3; beats++) await production.beat();
    expect((await namesIn(place)).filter((name) => name.startsWith('beat-'))).toEqual([
      `beat-${production.token}-0000000003.json`,
    ]);
    clock.advance(SILENCE_MS);
    await production.beat();
    expect((await failure(staging.hold())).code).toBe('PLACE_TAKEN');
    const copy = production.resumedOn(mkdtempSync(join(root, 'm-')));
    await copy.beat();
    expect((await failure(production.beat())).code).toBe('CLONED');
  });

  test('where nothing may be deleted, all goes on, and what is old stays', async () => {
    refuse(/^DELETE/);
    refuse(/^POST .*delete/);
    const [production, staging] = [machine(place, 'production'), machine(place, 'staging')];
    for (let start = 0; start < 5; start++) {
      production.restart();
      await production.hold();
      await production.release();
    }
    production.restart();
    await production.hold();
    await production.beat();
    for (let tries = 0; tries < 3; tries++) expect((await failure(staging.hold())).code).toBe('PLACE_TAKEN');
    const names = await namesIn(place);
    expect(names.filter((name) => /^\d{10}\.json$/.test(name)).length).toBe(6);
    expect(names.filter((name) => name.startsWith('knock-')).length).toBe(1);
  });

  test.each<[string, RegExp]>([
    ['list', /^GET .*list-type.*writer/],
    ['write', /^PUT .*writer/],
    ['read', /^GET \/writers\/own\/[^?]*writer/],
  ])(
    'where the key may not %s below writer/, nobody can tell who writes, and nothing is written',
    async (right, match) => {
      const [production, staging] = [machine(place, 'production'), machine(place, 'staging')];
      if (right === 'read') await production.hold();
      refuse(match);
      const error = await failure(staging.hold());
      expect(error.code).toBe('S3_DENIED');
      expect(error.message).toMatch(
        /^S3 refused the key for bucket "writers" .*, so nobody can tell who writes there$/,
      );
      expect(error.hint).toContain('local backups continue');
      expect(error.hint).toContain('ListBucket');
    },
  );

  test('a heartbeat below another prefix, which this key may not read, counts as alive', async () => {
    const production = machine(place, 'production');
    const request = production.request({ beat: 'fleet/first/writer/beat-x.json' });
    await holdPlace(place, request, production.context);
    clock.advance(SILENCE_MS);
    refuse(/^GET .*list-type.*fleet/);
    const staging = machine(place, 'staging');
    const refused = await failure(staging.hold());
    expect([refused.code, refused.message.includes('last seen')]).toEqual(['PLACE_TAKEN', false]);
    server.faults.length = 0;
    expect((await staging.hold()).epoch).toBe(2);
  });

  test('a place that became another’s meanwhile is seen before anything is removed', async () => {
    const [production, staging] = [machine(place, 'production'), machine(place, 'staging')];
    const holding = await production.hold();
    await holding.confirm();
    await claimWriter(place, staging.request({}), staging.context);
    expect((await failure(holding.confirm())).code).toBe('PLACE_TAKEN');
  });
});
