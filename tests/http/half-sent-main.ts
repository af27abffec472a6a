/** Requests that never end, at a server with the timeouts of ours cut to a twentieth; run by each runtime. */
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { timeouts } from '../../src/http/connections.ts';

const shorter = Object.fromEntries(Object.entries(timeouts).map(([name, ms]) => [name, Number(ms) / 20]));
const server = createServer(shorter, (incoming, outgoing) => {
  incoming
    .on('error', () => {})
    .on('end', () => {
      outgoing.write('begun');
      // Far longer than a request may take to come: the answer has no such limit.
      setTimeout(() => outgoing.end('all of it'), incoming.url === '/slow' ? 3_000 : 0);
    })
    .resume();
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const address = server.address();
const port = typeof address === 'object' && address ? address.port : 0;

async function endOf(text: string, { trickles = false } = {}): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const ended = Promise.withResolvers<string>();
  const timer = setTimeout(() => ended.resolve('still open'), 20_000);
  const trickle = setInterval(() => trickles && socket.write('x'), 50);
  socket
    .on('error', () => {})
    .on('close', () => ended.resolve('ended'))
    .resume();
  socket.write(text);
  const how = await ended.promise;
  clearTimeout(timer);
  clearInterval(trickle);
  socket.destroy();
  return how;
}

const head = 'POST / HTTP/1.1\r\nHost: localhost\r\n';
const [nothing, header, body, trickle] = await Promise.all([
  endOf(''),
  endOf(head),
  endOf(`${head}Content-Length: 100\r\n\r\nhalf`),
  endOf(`${head}Content-Length: 100000\r\n\r\n`, { trickles: true }),
]);
const slow = fetch(`http://127.0.0.1:${port}/slow`, { method: 'POST', body: 'whole' }).then(
  async (answer) => await answer.text(),
);
const { status: whole } = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'whole' });
console.log(
  JSON.stringify({ nothing, 'half a header': header, 'half a body': body, trickle, whole, slow: await slow }),
);
server.closeAllConnections();
server.close();
