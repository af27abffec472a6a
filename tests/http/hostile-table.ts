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

Every hostile request below was refused or had no effect. The answers are those that the server gave over a real socket,
written by \`bun tests/http/hostile-table.ts\`. \`tests/http/hostile.test.ts\` repeats them, and also checks that no refused
request reached the service and that each answer forbids caching, framing and sniffing. "Password" says whether the server
has one; without a password it answers only its own machine.

| who or what | password | request | answer |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
writeFileSync(fileURLToPath(new URL('../../docs/hostile-requests.md', import.meta.url)), text);
console.log(`${rows.length} requests`);
process.exit(0);
