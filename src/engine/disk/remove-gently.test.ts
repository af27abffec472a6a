import { expect, test } from 'bun:test';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fstatSync,
  linkSync,
  openSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { removeGently } from './remove-gently.ts';

const scratch = scratchFolders();
const BYTES = 100 * 1024 * 1024;
const NOBODY = 65_534;
const asNobody = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];

/** A process that removes that file. */
function program(path: string): readonly string[] {
  const module = fileURLToPath(new URL('./remove-gently.ts', import.meta.url));
  const code = `await (await import(${JSON.stringify(module)})).removeGently(${JSON.stringify(path)})`;
  return [process.execPath, '--config=/dev/null', '--no-env-file', '-e', code];
}

function largeFile(folder: string): string {
  const path = join(folder, 'large.sqlite');
  writeFileSync(path, '');
  truncateSync(path, BYTES);
  return path;
}

test('a large file goes, and nothing is left', async () => {
  const folder = scratch();
  const path = largeFile(folder);
  await removeGently(path);
  expect(readdirSync(folder)).toEqual([]);
});

test('who reads it meanwhile keeps all of it', async () => {
  const folder = scratch();
  const path = largeFile(folder);
  const reader = openSync(path, 'r');
  await removeGently(path);
  expect(existsSync(path)).toBe(false);
  expect(fstatSync(reader).size).toBe(BYTES);
  closeSync(reader);
});

test('another name of the same file keeps all of it', async () => {
  const folder = scratch();
  const path = largeFile(folder);
  const linked = join(folder, 'linked.sqlite');
  linkSync(path, linked);
  await removeGently(path);
  expect(readdirSync(folder)).toEqual(['linked.sqlite']);
  expect(statSync(linked).size).toBe(BYTES);
});

test.skipIf(process.getuid?.() !== 0)(
  'a reader whom /proc does not show to the user who removes keeps all of it',
  () => {
    const folder = scratch();
    const path = largeFile(folder);
    for (const one of [folder, path]) chownSync(one, NOBODY, NOBODY);
    chmodSync(dirname(folder), 0o711);
    const reader = openSync(path, 'r');
    const { status, stderr } = spawnSync('setpriv', [...asNobody, ...program(path)], { encoding: 'utf8' });
    expect([status, stderr, existsSync(path)]).toEqual([0, '', false]);
    expect(fstatSync(reader).size).toBe(BYTES);
    closeSync(reader);
  },
);

test.skipIf(process.getuid?.() !== 0)('so does a reader outside of the container of whoever removes', () => {
  const path = largeFile(scratch());
  const reader = openSync(path, 'r');
  const { status } = spawnSync('unshare', ['--fork', '--pid', '--mount-proc', ...program(path)]);
  expect([status, existsSync(path), fstatSync(reader).size]).toEqual([0, false, BYTES]);
  closeSync(reader);
});

test.skipIf(!Bun.which('python3'))('a file that a process has mapped and closed is not cut under it', async () => {
  const path = largeFile(scratch());
  const reader = spawn('python3', ['-c', mapped, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: reader.stdout })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('mapped');
  await removeGently(path);
  reader.stdin.end('\n');
  // A page behind the end of a file ends its reader with SIGBUS.
  expect((await lines.next()).value).toBe('0');
  await once(reader, 'exit');
});

const mapped = `
import mmap, os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
pages = mmap.mmap(file, 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
# Python keeps a second descriptor of its own.
for descriptor in range(3, 20):
    try:
        if os.path.samestat(os.fstat(descriptor), os.stat(sys.argv[1])): os.close(descriptor)
    except OSError: pass
print('mapped', flush=True)
sys.stdin.readline()
print(pages[-1], flush=True)
`;
