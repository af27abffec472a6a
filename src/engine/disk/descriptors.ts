/**
 * SQLite says that it can't open a file, and not why. Without descriptors left that says nothing of the file: it is no
 * reason to move one aside.
 */
import { closeSync, openSync } from 'node:fs';
import { exhausted, isExhausted } from '../../words/errors.ts';

/** A database, its log, the index of that, and a journal. */
const NEEDED = 4;

/** @throws BackupError EXHAUSTED when this process can open no more files. */
export function requireDescriptors(): void {
  const opened: number[] = [];
  try {
    while (opened.length < NEEDED) opened.push(openSync('/', 'r'));
  } catch (error) {
    if (isExhausted(error)) throw exhausted(error);
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
}
