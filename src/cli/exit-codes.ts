/** The exit codes of the program, and what `--help` says of them. */
import { type ErrorCode, traitsOf } from '../words/errors.ts';

export const exitCodes = {
  done: 0,
  failed: 1,
  wrongUse: 2,
  noBackup: 3,
  verificationFailed: 4,
  notEverywhere: 5,
  interrupted: 130,
} as const;

export const exitWords = [
  [exitCodes.done, 'done'],
  [exitCodes.failed, 'failed'],
  [exitCodes.wrongUse, 'wrong use or configuration'],
  [exitCodes.noBackup, 'no such backup'],
  [exitCodes.verificationFailed, 'verification failed'],
  [exitCodes.notEverywhere, 'stored locally but not at every target'],
  [exitCodes.interrupted, 'interrupted'],
] as const;

export function exitCodeOf(code: ErrorCode): number {
  return traitsOf(code).exit;
}
