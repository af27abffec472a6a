/** `velist-backup kit`: the recovery kit on standard output, or in a file that only its owner can read. */
import { closeSync, existsSync, openSync, readSync, renameSync, writeFileSync } from 'node:fs';
import { BackupError } from '../../words/errors.ts';
import type { Session } from '../session.ts';

const FIRST_WORDS = '# Recovery kit of ';

/** @throws BackupError TARGET_EXISTS when something else than an earlier kit lies there. */
export async function writeKit({ service, output }: Session, { output: path }: { output?: string }): Promise<number> {
  const kit = await service.recoveryKit();
  if (path === undefined) {
    output.answer({ kit, path: null, replaced: false }, kit.trimEnd());
    return 0;
  }
  const replaced = existsSync(path);
  if (replaced && !isKit(path)) {
    throw new BackupError('TARGET_EXISTS', `${path} already exists, and is no recovery kit`, {
      hint: 'Choose another name; only an earlier kit is replaced.',
    });
  }
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, kit, { mode: 0o600, flag: 'wx' });
  renameSync(temporary, path);
  output.answer(
    { kit, path, replaced },
    `${replaced ? 'Replaced' : 'Wrote'} ${path}. It holds no secret; keep it away from this machine, and the age identity apart from it.`,
  );
  return 0;
}

function isKit(path: string): boolean {
  const file = openSync(path, 'r');
  try {
    const first = Buffer.alloc(FIRST_WORDS.length);
    readSync(file, first, 0, first.length, 0);
    return first.toString() === FIRST_WORDS;
  } finally {
    closeSync(file);
  }
}
