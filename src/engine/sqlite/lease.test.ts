import { expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { isOpenHereAlone } from './lease.ts';

const scratch = scratchFolders();

/** Keeps the file open, or mapped and closed, until it is ended. */
const holders = {
  open: ['sh', ['-c', 'exec 3<"$0"; echo; read _']],
  mapped: [
    'python3',
    [
      '-c',
      'import mmap, os, sys; f = os.open(sys.argv[1], os.O_RDONLY); m = mmap.mmap(f, 0, prot=mmap.PROT_READ); os.close(f); print(flush=True); input()',
    ],
  ],
} as const;

for (const [how, [program, args]] of Object.entries(holders)) {
  test.skipIf(process.platform !== 'linux')(`a file that another process has ${how} is not ours alone`, async () => {
    const path = join(scratch(), 'removed.sqlite');
    writeFileSync(path, 'x'.repeat(10_000));
    const file = openSync(path, 'r+');
    const holder = spawn(program, [...args, path], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(holder.stdout, 'data');
    unlinkSync(path);
    expect(isOpenHereAlone(file)).toBe(false);
    holder.stdin.end('\n');
    await once(holder, 'exit');
    expect(isOpenHereAlone(file)).toBe(true);
    closeSync(file);
  });
}

test('a second descriptor of our own counts', () => {
  const path = join(scratch(), 'removed.sqlite');
  writeFileSync(path, 'x');
  const [file, second] = [openSync(path, 'r+'), openSync(path, 'r')];
  expect(isOpenHereAlone(file)).toBe(false);
  closeSync(second);
  closeSync(file);
});
