/**
 * Secrets that stand in files, as containers hand them in: `S3_SECRET_KEY_FILE=/run/secrets/s3` instead of `S3_SECRET_KEY`.
 * The form is that of Docker's official images: the content is the value, without the line ends behind it.
 * https://docs.docker.com/engine/swarm/secrets/#build-support-for-docker-secrets-into-your-images
 */
import { readFileSync } from 'node:fs';
import { BackupError } from '../words/errors.ts';
import type { Variables } from './setting.ts';

/** A key or a password is far shorter: another file was meant. */
const CHARACTERS_MAX = 16_384;

export const fileVariable = (name: string): string => `${name}_FILE`;

interface FromFiles {
  /** The variables, with the content of the files in the place of their names. */
  readonly variables: Variables;
  /** By variable, the file that it was read from. */
  readonly files: ReadonlyMap<string, string>;
  /** A line for each, as `loadEnvironment` tells faults. */
  readonly faults: readonly string[];
}

export function readSecretFiles(given: Variables, secrets: Iterable<string>): FromFiles {
  const variables = { ...given };
  const files = new Map<string, string>();
  const faults: string[] = [];
  for (const name of secrets) {
    const path = given[fileVariable(name)];
    if (path === undefined) continue;
    delete variables[fileVariable(name)];
    if (given[name] !== undefined) {
      faults.push(`${name}, ${fileVariable(name)}: both are set; keep one of them`);
      continue;
    }
    try {
      variables[name] = contentOf(path);
      files.set(name, path);
    } catch (error) {
      faults.push(`${fileVariable(name)}: ${JSON.stringify(path)} ${reasonOf(error)}`);
    }
  }
  return { variables, files, faults };
}

function contentOf(path: string): string {
  const text = readFileSync(path, 'utf8').replace(/[\r\n]+$/, '');
  if (text.trim() === '') throw new Unusable('is empty');
  if (text.length > CHARACTERS_MAX) throw new Unusable('does not contain a secret: it is too long');
  return text;
}

class Unusable extends Error {}

function reasonOf(error: unknown): string {
  return error instanceof Unusable ? error.message : `can't be read: ${BackupError.from(error).message}`;
}
