/** What a stranger who opens connections, and sends his requests by halves, costs those who are signed in. */
import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { connect, type Socket } from 'node:net';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Connections } from '../../src/http/connections.ts';
import { createServer } from '../../src/http/server.ts';
import { createSignIn } from '../../src/http/access/sign-in.ts';
import { createFakeService } from './fake-service.ts';
import { node22 } from '../support/runtimes.ts';

const token = '0123456789abcdef';

/** As much of a socket as is looked at. */
class FakeSocket extends EventEmitter {
  isDestroyed = false;
  readonly remoteAddress: string;

  constructor(remoteAddress: string) {
    super();
    this.remoteAddress = remoteAddress;
  }

  destroy(): void {
    this.isDestroyed = true;
    this.emit('close');
  }
}

function openFrom(connections: Connections, address: string): { readonly fake: FakeSocket; readonly socket: Socket } {
  const fake = new FakeSocket(address);
  const socket = fake as unknown as Socket; // the three members above are all that is used
  connections.accept(socket);
  return { fake, socket };
}

test('the hundred and first connection of a stranger costs him his oldest; nobody else’s, and none that was let in', () => {
  const connections = new Connections();
  const own = openFrom(connections, '192.0.2.1');
  const other = openFrom(connections, '198.51.100.1');
  connections.admit(own.socket);
  const strangers = Array.from({ length: 150 }, () => openFrom(connections, '192.0.2.1').fake);
  expect(strangers.map(({ isDestroyed }) => isDestroyed)).toEqual(strangers.map((_, at) => at < 50));
  expect([own.fake.isDestroyed, other.fake.isDestroyed]).toEqual([false, false]);
  // A whole network of IPv6 is one stranger.
  const many = Array.from({ length: 101 }, (_, at) => openFrom(connections, `2001:db8::${at.toString(16)}`).fake);
  expect(many.map(({ isDestroyed }) => isDestroyed)).toEqual(many.map((_, at) => at === 0));
});

test('a thousand strangers with one each have the places that are left, and whoever comes has one until judged', () => {
  const connections = new Connections();
  const admitted = Array.from({ length: 499 }, (_, at) => openFrom(connections, `10.0.${at % 250}.1`));
  for (const { socket } of admitted) connections.admit(socket);
  const strangers = Array.from({ length: 1_000 }, (_, at) => openFrom(connections, `10.1.${at % 250}.${at >> 8}`).fake);
  expect(strangers.filter(({ isDestroyed }) => !isDestroyed)).toEqual(strangers.slice(-1));
  expect(admitted.filter(({ fake }) => fake.isDestroyed)).toEqual([]);
  const late = openFrom(connections, '203.0.113.1');
  connections.admit(late.socket);
  // All are signed in: then there is none to spare.
  expect([late.fake.isDestroyed, openFrom(connections, '203.0.113.2').fake.isDestroyed]).toEqual([false, true]);
});

test('while a stranger holds two hundred half-sent requests, whoever is let in is answered and keeps what is open', async () => {
  const faults: unknown[] = [];
  const server = createServer({
    service: createFakeService(),
    signIn: createSignIn({ password: null, token }),
    port: 0,
    pingMs: 50,
    onError: (error) => faults.push(error),
  });
  const { port } = await server.listen();
  const headers = { authorization: `Bearer ${token}` };
  const stream = await fetch(`http://127.0.0.1:${port}/backup/api/events`, { headers });
  const reader = stream.body?.getReader();
  await reader?.read();
  let closed = 0;
  const sockets = Array.from({ length: 200 }, (_, at) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('close', () => closed++);
    socket.write(
      at % 2 === 0
        ? 'GET /backup/ HTTP/1.1\r\nHost: localhost\r\nX-A: '
        : 'POST /backup/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\npassw',
    );
    return socket;
  });
  try {
    while (closed < 100) await Bun.sleep(10);
    expect((await fetch(`http://127.0.0.1:${port}/backup/api/status`, { headers })).status).toBe(200);
    // It goes on: the connection over which it was let in was not among those that went.
    expect((await reader?.read())?.done).toBe(false);
    expect(closed).toBeLessThan(200);
    // A client that leaves in the middle of its request is no fault of ours.
    expect(faults).toEqual([]);
  } finally {
    for (const socket of sockets) socket.destroy();
    await reader?.cancel();
    await server.stop();
  }
});

const halves = fileURLToPath(new URL('half-sent-main.ts', import.meta.url));
const smuggling = fileURLToPath(new URL('smuggling-main.ts', import.meta.url));
for (const [program, ...flags] of [[process.execPath], [node22, '--experimental-strip-types']] as const) {
  test(`what is sent by halves is ended by the server on ${basename(program)}`, () => {
    const { stdout, stderr } = spawnSync(program, [...flags, halves], { encoding: 'utf8', timeout: 60_000 });
    const said = stderr.replaceAll(/^.*(ExperimentalWarning|--trace-warnings).*\n/gm, '');
    const ended = {
      nothing: 'ended',
      'half a header': 'ended',
      'half a body': 'ended',
      trickle: 'ended',
      whole: 200,
      slow: 'begunall of it',
    };
    expect([said, JSON.parse(stdout || 'null')]).toEqual(['', ended]);
  }, 70_000);

  test(`what ends in two ways hides no second request on ${basename(program)}`, () => {
    const { stdout } = spawnSync(program, [...flags, smuggling], { encoding: 'utf8', timeout: 60_000 });
    const { 'two good ones': good, ...forms } = JSON.parse(stdout) as Record<string, string[]>;
    expect([good, Object.keys(forms).length]).toEqual([['/seen', '/hidden'], 20]);
    expect(Object.entries(forms).filter(([, seen]) => seen.includes('/hidden'))).toEqual([]);
  }, 70_000);
}
