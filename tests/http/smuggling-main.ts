/** Sends raw requests whose end is told in two ways to a server of `node:http`; says how many requests each became. */
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { timeouts } from '../../src/http/connections.ts';

/** Hidden behind each of them; it must never be answered as a request. */
const hidden = 'POST /hidden HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n';
const chunk = '0\r\n\r\n';
const head = 'POST /seen HTTP/1.1\r\nHost: localhost\r\n';
const both = (encoding: string) =>
  `${head}Content-Length: ${chunk.length + hidden.length}\r\n${encoding}\r\n\r\n${chunk}${hidden}`;
const forms: Readonly<Record<string, string>> = {
  'length and encoding': both('Transfer-Encoding: chunked'),
  'encoding in capitals': both('TRANSFER-ENCODING: CHUNKED'),
  'a tab before the encoding': both('Transfer-Encoding:\tchunked'),
  'a space before the colon': both('Transfer-Encoding : chunked'),
  'an encoding that is none': both('Transfer-Encoding: xchunked'),
  'two encodings': both('Transfer-Encoding: identity, chunked'),
  'chunked, and then another': both('Transfer-Encoding: chunked, identity'),
  'two headers of encoding': both('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity'),
  'the encoding folded': both('Transfer-Encoding:\r\n chunked'),
  'a vertical tab': both('Transfer-Encoding: \x0bchunked'),
  'two lengths': `${head}Content-Length: 0\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
  'two lengths in one': `${head}Content-Length: 0, ${hidden.length}\r\n\r\n${hidden}`,
  'a length with a sign': `${head}Content-Length: +0\r\n\r\n${hidden}`,
  'a length in hex': `${head}Content-Length: 0x${hidden.length.toString(16)}\r\n\r\n${hidden}`,
  'a length below zero': `${head}Content-Length: -1\r\n\r\n${hidden}`,
  'a length of letters': `${head}Content-Length: none\r\n\r\n${hidden}`,
  'a chunk with a sign': `${head}Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n${hidden}`,
  'a chunk in 0x': `${head}Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n${hidden}`,
  'a bare line feed in the head': `POST /seen HTTP/1.1\nHost: localhost\nContent-Length: ${hidden.length}\n\n${hidden}`,
  'a null in a header': `${head}X-A: a\0b\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
};

const seen: string[] = [];
const server = createServer(timeouts, (incoming, outgoing) => {
  seen.push(incoming.url ?? '');
  incoming
    .on('error', () => {})
    .on('end', () => outgoing.end('ok'))
    .resume();
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const address = server.address();
const port = typeof address === 'object' && address ? address.port : 0;

const became: Record<string, string[]> = {};
for (const [form, text] of Object.entries({ ...forms, 'two good ones': `${head}Content-Length: 0\r\n\r\n${hidden}` })) {
  seen.length = 0;
  const socket = connect(port, '127.0.0.1');
  const ended = Promise.withResolvers<void>();
  socket
    .on('error', () => {})
    .on('close', () => ended.resolve())
    .resume();
  // No more comes: the server answers what it has got, and closes.
  socket.end(text);
  await ended.promise;
  became[form] = [...seen];
}
console.log(JSON.stringify(became));
server.closeAllConnections();
server.close();
