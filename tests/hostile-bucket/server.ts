/**
 * A server that speaks HTTP and means harm: each bucket of it is one case, whose handler answers what it likes. A second
 * port stands for another host; nobody may ever come there.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface HostileServer {
  readonly endpoint: string;
  /** Address of the other host. */
  readonly elsewhere: string;
  /** How often somebody came there. */
  readonly strayed: () => number;
  /** From now on the bucket of that name answers so. */
  answer(bucket: string, answer: Answer): void;
  close(): Promise<void>;
}

export async function startHostileServer(): Promise<HostileServer> {
  const answers = new Map<string, Answer>();
  let strayed = 0;
  const server = createServer({ maxHeaderSize: 256 * 1024 }, (request, response) => {
    // Whoever is cut off in the middle is of no interest.
    response.on('error', () => {});
    request.resume();
    const bucket = (request.url ?? '').split(/[/?]/)[1] ?? '';
    const answer = answers.get(bucket);
    if (answer) answer(request, response);
    else response.writeHead(404).end();
  });
  const other = createServer((_, response) => {
    strayed += 1;
    response.end('caught');
  });
  const [endpoint, elsewhere] = [await listen(server), await listen(other)];
  return {
    endpoint,
    elsewhere,
    strayed: () => strayed,
    answer: (bucket, answer) => void answers.set(bucket, answer),
    async close() {
      for (const one of [server, other]) {
        one.closeAllConnections();
        one.close();
        await once(one, 'close');
      }
    },
  };
}

async function listen(server: Server): Promise<string> {
  server.on('clientError', (_, socket) => socket.destroy());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
}
