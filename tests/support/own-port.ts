import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * A port for a server that comes back to it. It lies below those that the system gives away to whoever asks for any, so that
 * nobody has got it meanwhile; processes that ask for one at once begin at different ones.
 */
export async function ownPort(): Promise<number> {
  for (let port = 10_000 + (process.pid % 20_000); ; port++) {
    const server = createServer();
    try {
      await once(server.listen(port, '127.0.0.1'), 'listening');
    } catch {
      continue;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}
