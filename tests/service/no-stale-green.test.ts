/**
 * What a status rests on is read again only if it changed. None of that may keep it green: each of these turns it at the very
 * next look, without a wait, in a folder so large that its older backups are looked at once a minute.
 */
import { expect, test } from 'bun:test';
import { copyFileSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LOOKED_AT_ALWAYS } from '../../src/engine/catalog/known-backups.ts';
import type { Manifest } from '../../src/engine/format/manifest.ts';
import { nameBackup } from '../../src/engine/format/names.ts';
import type { DatabasesAnswer, Health } from '../../src/http/contract.ts';
import { backupFetch } from '../../src/http/mount.ts';
import { isFailing } from '../../src/service/protection/freshness.ts';
import { openShop, scratchFolders, type Shop } from '../support/scratch.ts';

const scratch = scratchFolders();
const DAY_MS = 86_400_000;

/** So many backups of the days before, which all look like the one that is there. */
function fillFolder({ backups }: Shop, newest: string): void {
  const manifest: Manifest = JSON.parse(readFileSync(join(backups, `${newest}.json`), 'utf8'));
  for (let number = 1; number <= LOOKED_AT_ALWAYS + 20; number++) {
    const createdAt = new Date(Date.parse(manifest.createdAt) - number * DAY_MS);
    const name = nameBackup(createdAt);
    copyFileSync(join(backups, newest), join(backups, name));
    const { mtimeNs } = statSync(join(backups, name), { bigint: true });
    const changed = {
      ...{ name, createdAt: createdAt.toISOString(), sequence: (manifest.sequence ?? 0) - number * 86_400 },
      ...{ published: { modifiedNs: String(mtimeNs) }, artifact: { ...manifest.artifact, file: name } },
    };
    writeFileSync(join(backups, `${name}.json`), JSON.stringify({ ...manifest, ...changed }));
  }
}

const harm: Readonly<Record<string, (shop: Shop, newest: string, clock: { ms: number }) => void>> = {
  'the newest backup is cut short in its place': ({ backups }, newest) => truncateSync(join(backups, newest), 100),
  'its manifest is spoiled in its place': ({ backups }, newest) => writeFileSync(join(backups, `${newest}.json`), '{'),
  'the newest backup is removed by hand': ({ backups }, newest) => {
    rmSync(join(backups, newest));
    rmSync(join(backups, `${newest}.json`));
  },
  'the folder is gone': ({ backups }) => renameSync(backups, `${backups}-moved`),
  'the database is gone': ({ databasePath }) => rmSync(databasePath),
  'time passes': (_, __, clock) => {
    clock.ms += DAY_MS;
  },
};

/** Each asks for its own copy of the clock, so that time passes for one of a fleet alone. */
const open = (clock: { readonly ms: number }) =>
  openShop(scratch(), { now: () => new Date(clock.ms), settings: { maxAgeMinutes: 60 } });

for (const [what, happens] of Object.entries(harm))
  test(`health is red at the next look when ${what}`, async () => {
    const clock = { ms: Date.now() };
    await using shop = open(clock);
    const { filename: newest = '' } = await shop.service.performBackup();
    fillFolder(shop, newest);
    const look = async () => isFailing((await shop.service.getStatus()).freshness);
    // Twice: the second look takes what the first has read.
    expect([await look(), await look()]).toEqual([false, false]);
    happens(shop, newest, clock);
    expect(await look()).toBe(true);
  });

for (const [what, happens] of Object.entries(harm))
  test(`a fleet is red at the next look when of one of its databases ${what}`, async () => {
    const clocks = Array.from({ length: 3 }, () => ({ ms: Date.now() }));
    await using first = open(clocks[0] ?? expect.unreachable());
    const clock = clocks[1] ?? expect.unreachable();
    await using second = open(clock);
    await using third = open(clocks[2] ?? expect.unreachable());
    const shops = { first, second, third };
    const newest: string[] = [];
    for (const { service } of Object.values(shops)) newest.push((await service.performBackup()).filename ?? '');
    const databases = Object.entries(shops).map(([name, { service }]) => ({ name, service }));
    const fleet = { isMany: true, databases, getAudit: () => [], recordAct: () => {} };
    let nowMs = 0;
    const options = { prefix: '', nowMs: () => nowMs };
    const routes = backupFetch(fleet, { ...options, authorize: () => true });
    const asStranger = backupFetch(fleet, { ...options, authorize: () => false });
    const ask = async (path: string) => await routes(new Request(`http://localhost${path}`));
    const look = async () => {
      // The word that strangers hear is held for a second.
      nowMs += 1_000;
      const strangers = await asStranger(new Request('http://localhost/health'));
      const health = await ask('/health');
      const { databases: told = [] }: Health = await health.json();
      const { databases: rows }: DatabasesAnswer = await (await ask('/api/databases')).json();
      const metrics = await (await ask('/metrics')).text();
      const bad = /^velist_backup_state\{state="(?:late|unprotected)",database="(\w+)"\} 1$/gm;
      return {
        words: [strangers.status, health.status],
        health: told.flatMap(({ name, status }) => (status === 'failing' ? name : [])),
        overview: rows.flatMap(({ name, tone }) => (tone === 'red' ? name : [])),
        metrics: [...metrics.matchAll(bad)].map(([, name]) => name),
      };
    };
    const green = { words: [200, 200], health: [], overview: [], metrics: [] };
    expect([await look(), await look()]).toEqual([green, green]);
    happens(second, newest[1] ?? '', clock);
    const { metrics, ...red } = await look();
    expect(red).toEqual({ words: [503, 503], health: ['second'], overview: ['second'] });
    // A database that is gone has its backups still.
    expect(metrics).toEqual(what === 'the database is gone' ? [] : ['second']);
  });
