/** Commands of a page, typed as they stand there, into a shell, by a person who has read no further. */
import { spawn } from 'node:child_process';

/** Of all blocks of `bash`, without comments and without lines that only set a variable. */
export function commandsOf(text: string): readonly string[] {
  return [...text.matchAll(/^```bash\n([\s\S]*?)^```/gm)].flatMap(([, block = '']) =>
    block
      .replaceAll('\\\n', '')
      .split('\n')
      .map((line) => line.replace(/\s+# .*$/, '').trim())
      .filter((line) => line !== '' && !/^[A-Z_0-9]+=\S*$/.test(line)),
  );
}

/** Commands that serve until they are told to end, and what they say when they are ready. */
const serves = /( serve\b|npm start$|npm run dev$)/;
const isReady = /The page is at/;

/**
 * @param typed what is typed in the place of `command`, where the two differ.
 * @returns code 0 for what serves, once it was ready and was told to end.
 */
export function type(
  command: string,
  where: { readonly folder: string; readonly environment: NodeJS.ProcessEnv; readonly typed?: string },
): Promise<{ readonly code: number; readonly output: string }> {
  const child = spawn('bash', ['-c', `set -o pipefail; ${where.typed ?? command}`], {
    cwd: where.folder,
    env: where.environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  return new Promise((resolve, reject) => {
    let output = '';
    let isServing = false;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
        if (!serves.test(command) || !isReady.test(output) || isServing) return;
        isServing = true;
        process.kill(-Number(child.pid), 'SIGTERM');
      });
    }
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: isServing ? 0 : (code ?? -1), output }));
  });
}
