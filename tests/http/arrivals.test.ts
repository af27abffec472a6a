/** An upload over HTTP, on each host: whole, in pieces, aborted, too large, and of what is no database. */
import { describe, expect, test } from 'bun:test';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { ARRIVALS_FOLDER } from '../../src/engine/format/names.ts';
import type { Action } from '../../src/http/access/authorize.ts';
import * as contract from '../../src/http/contract.ts';
import { makeDatabase, openShop, scratchFolders, type Shop } from '../support/scratch.ts';
import { appHosts, type Host, hosts } from './hosts.ts';

const scratch = scratchFolders();

const left = ({ backups }: Pick<Shop, 'backups'>) => {
  const folder = join(backups, ARRIVALS_FOLDER);
  return existsSync(folder) ? readdirSync(folder) : [];
};

function client(host: Host) {
  const ask = async (method: string, path: string, body?: object) =>
    await host.fetch(`/backup/api/arrivals${path}`, {
      method,
      ...(body && { body: body instanceof Uint8Array ? new Uint8Array(body) : JSON.stringify(body) }),
      headers: { 'content-type': body instanceof Uint8Array ? 'application/octet-stream' : 'application/json' },
    });
  const begin = async (name: string, bytes: Uint8Array) => {
    const answer = await ask('POST', '', { name, sizeBytes: bytes.length, modifiedAt: '2024-03-01T00:00:00.000Z' });
    return contract.begunArrival.parse(await answer.json());
  };
  const send = async (name: string, bytes: Uint8Array) => {
    const { id, pieceBytesMax } = await begin(name, bytes);
    for (let at = 0; at < bytes.length; at += pieceBytesMax)
      expect((await ask('PATCH', `/${id}?at=${at}`, bytes.subarray(at, at + pieceBytesMax))).status).toBe(200);
    return id;
  };
  return { ask, begin, send };
}

/** A database of some megabytes. */
function largeDatabase(): Uint8Array {
  const path = join(scratch(), 'large.sqlite');
  makeDatabase(path, { rows: 20_000, journalMode: 'delete' });
  return readFileSync(path);
}

describe.each(Object.entries({ ...hosts, ...appHosts }))('with %s', (_, open) => {
  test('a file is sent in pieces, shown, and adopted', async () => {
    await using shop = openShop(scratch());
    const host = await open({ service: shop.service, authorize: () => ({ user: 'ada' }) });
    try {
      const { ask, send } = client(host);
      const bytes = largeDatabase();
      expect(bytes.length).toBeGreaterThan(2 * contract.PIECE_BYTES_MAX);
      const id = await send('shop-copy.sqlite', bytes);
      const arrival = contract.arrival.parse(await (await ask('POST', `/${id}/check`)).json());
      expect(arrival).toMatchObject({ name: 'shop-copy.sqlite', sizeBytes: bytes.length, rows: 20_000 });
      const adopted = contract.backup.parse(await (await ask('POST', `/${id}/adopt`)).json());
      expect(adopted).toMatchObject({ filename: 'backup-2024-03-01T00-00-00-000Z.sqlite', user: 'ada', pinned: true });
      expect(readFileSync(join(shop.backups, adopted.filename)).equals(bytes)).toBe(true);
      expect(left(shop)).toEqual([]);
    } finally {
      await host.close();
    }
  });
});

describe('over our own server', () => {
  async function open(shop: Shop, may: (action: Action) => boolean = () => true) {
    const host = await (hosts['the server'] ?? expect.unreachable())({
      service: shop.service,
      authorize: (_, action) => may(action),
      onError: () => {},
    });
    return { ...client(host), host, [Symbol.asyncDispose]: () => host.close() };
  }
  const codeOf = async (answer: Response) => contract.errorAnswer.parse(await answer.json()).error.code;

  test('a piece that breaks off leaves nothing of itself, and can be sent again', async () => {
    await using shop = openShop(scratch());
    await using opened = await open(shop);
    const { ask, begin, host } = opened;
    const bytes = largeDatabase();
    const { id, pieceBytesMax } = await begin('shop-copy.sqlite', bytes);
    await ask('PATCH', `/${id}?at=0`, bytes.subarray(0, 50_000));
    const socket = connect(Number(new URL(host.origin).port), '127.0.0.1');
    socket.on('error', () => {});
    const path = `/backup/api/arrivals/${id}?at=50000`;
    socket.write(`PATCH ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n`);
    await new Promise((resolve) => socket.write(bytes.subarray(50_000, 400_000), resolve));
    const closed = once(socket, 'close');
    socket.destroy();
    await closed;
    for (let at = 50_000; at < bytes.length; at += pieceBytesMax)
      expect((await ask('PATCH', `/${id}?at=${at}`, bytes.subarray(at, at + pieceBytesMax))).status).toBe(200);
    expect((await ask('POST', `/${id}/check`)).status).toBe(200);
    expect((await (await ask('DELETE', `/${id}`)).json()) as object).toEqual({ success: true });
    expect([left(shop), await shop.service.getBackups()]).toEqual([[], []]);
  });

  test('a piece that is too large, at a wrong place or of nothing that has begun is refused', async () => {
    await using shop = openShop(scratch());
    await using opened = await open(shop);
    const { ask, begin } = opened;
    const bytes = largeDatabase();
    const { id, pieceBytesMax } = await begin('shop-copy.sqlite', bytes);
    const tooLarge = await ask('PATCH', `/${id}?at=0`, bytes.subarray(0, pieceBytesMax + 1));
    expect([tooLarge.status, await codeOf(tooLarge)]).toEqual([422, 'BAD_REQUEST']);
    for (const at of ['-1', '1e3', '7', '', '99999999999999999'])
      expect([at, (await ask('PATCH', `/${id}?at=${at}`, bytes.subarray(0, 100))).status]).toEqual([at, 422]);
    const unknown = crypto.randomUUID();
    expect(await codeOf(await ask('PATCH', `/${unknown}?at=0`, bytes.subarray(0, 100)))).toBe('GONE');
    for (const wrong of ['..%2f..%2fshop', `${id}.json`, 'x'])
      expect((await ask('POST', `/${wrong}/check`)).status).toBe(422);
    expect(left(shop).toSorted()).toEqual([`${id}.json`, `${id}.sqlite`]);
    expect(shop.service.getRuns()).toEqual([]);
  });

  test('what is no database is refused with its first piece, and one that is damaged by the check', async () => {
    await using shop = openShop(scratch());
    await using opened = await open(shop);
    const { ask, begin, send } = opened;
    const text = Buffer.from('No database at all, but a letter to my aunt.');
    const { id } = await begin('<img src=x onerror=alert(1)>.sqlite', text);
    const refused = await ask('PATCH', `/${id}?at=0`, text);
    expect([refused.status, await codeOf(refused)]).toEqual([422, 'BAD_BACKUP']);
    const damaged = new Uint8Array(largeDatabase()).fill(0, 40_000, 90_000);
    const other = await send('damaged.sqlite', damaged);
    expect(await codeOf(await ask('POST', `/${other}/check`))).toBe('BAD_BACKUP');
    expect(await codeOf(await ask('POST', '', { name: 'none.sqlite', sizeBytes: 0 }))).toBe('BAD_BACKUP');
    expect(await codeOf(await ask('POST', '', { name: 'huge.sqlite', sizeBytes: 2 ** 52 }))).toBe('DISK_FULL');
    expect([left(shop), await shop.service.getBackups()]).toEqual([[], []]);
  });

  test('an upload that nobody checks is never adopted, and who may not read learns nothing by one', async () => {
    await using shop = openShop(scratch());
    await using opened = await open(shop, (action) => action === 'change');
    const { ask, send } = opened;
    const id = await send('shop-copy.sqlite', largeDatabase());
    expect(await codeOf(await ask('POST', `/${id}/check`))).toBe('FORBIDDEN');
    expect(await codeOf(await ask('POST', `/${id}/adopt`))).toBe('BAD_REQUEST');
    expect(await shop.service.getBackups()).toEqual([]);
  });
});
