/** Writes `docs/hostile-requests.md` from what the server answers now: `bun tests/http/hostile-table.ts`. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { answerTo, type HostileRequest, hostileRequests } from './hostile-requests.ts';

const longest = 90;
const cut = (text: string) => (text.length > longest ? `${text.slice(0, longest)}…` : text);
const shown = ({ method, path, headers, body }: HostileRequest) =>
  [
    `\`${method} ${cut(path)}\``,
    ...Object.entries(headers ?? {}).map(([name, value]) => `\`${name}: ${value}\``),
    ...(body === undefined ? [] : [`\`${cut(body)}\``]),
  ].join('<br>');

const rows: string[] = [];
for (const hostile of hostileRequests) {
  const { status, code } = await answerTo(hostile);
  const door = hostile.door === 'open' ? 'no' : 'yes';
  rows.push(`| ${hostile.what} | ${door} | ${shown(hostile)} | ${status}${code ? ` ${code}` : ''} |`);
}
const text = `# Hostile requests

What the server answered, over a real socket. Written by \`bun tests/http/hostile-table.ts\`; held by
\`tests/http/hostile.test.ts\`, which also sees that no refused request reached the service and that each answer forbids
caching, framing and sniffing. "Password" says whether the server has one; without, it answers its own machine only.

| who or what | password | request | answer |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
writeFileSync(fileURLToPath(new URL('../../docs/hostile-requests.md', import.meta.url)), text);
console.log(`${rows.length} requests`);
process.exit(0);
