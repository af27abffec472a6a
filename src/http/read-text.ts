/** What came in with a request: its parameters, its query, the text of its body, up to a limit; and the error for what a client sent that a route does not take. */
import type { z } from 'zod';
import { BackupError } from '../words/errors.ts';
import { parameters } from './parameters.ts';
import type { Params } from './route.ts';

const MAX_BODY_BYTES = 64 * 1024;

/** What a client sent is not what the route takes. `fields` has one message per wrong field. */
class BadInput extends BackupError {
  readonly fields: Record<string, string>;

  constructor(code: 'BAD_CONFIG' | 'BAD_REQUEST', fields: Record<string, string>) {
    const names = Object.keys(fields);
    super(code, names.map((name) => `${name}: ${fields[name]}`).join('; '), {
      hint: `Correct ${names.join(', ')} and send it again.`,
    });
    this.fields = fields;
  }
}

/** @throws BadInput when it is too large, and the rest is then not read; or when the client leaves in its middle. */
export async function readBytes(request: Request, bytesMax: number): Promise<Uint8Array> {
  if (!request.body) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  // `for await` over a web stream is missing from the DOM types, hence the reader.
  const reader = request.body.getReader();
  const read = () =>
    reader.read().catch((): never => {
      throw new BadInput('BAD_REQUEST', { body: 'was not sent to its end' });
    });
  for (let chunk = await read(); !chunk.done; chunk = await read()) {
    sizeBytes += chunk.value.byteLength;
    if (sizeBytes > bytesMax) {
      await reader.cancel();
      throw new BadInput('BAD_REQUEST', {
        body: `is larger than ${bytesMax} bytes`,
      });
    }
    chunks.push(chunk.value);
  }
  return Buffer.concat(chunks);
}

async function readText(request: Request): Promise<string> {
  return new TextDecoder().decode(await readBytes(request, MAX_BODY_BYTES));
}

/** @throws BadInput */
export function readQuery<Schema extends z.ZodType>(query: URLSearchParams, schema: Schema): z.output<Schema> {
  const parsed = schema.safeParse(Object.fromEntries(query));
  if (parsed.success) return parsed.data;
  throw new BadInput('BAD_REQUEST', fieldErrors(parsed.error.issues));
}

function fieldErrors(issues: readonly z.core.$ZodIssue[]): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const issue of issues) {
    if (issue.code === 'unrecognized_keys') for (const key of issue.keys) fields[key] = 'is not known here';
    else fields[issue.path.length === 0 ? 'body' : String(issue.path[0])] ??= issue.message;
  }
  return fields;
}

export async function readBody<Schema extends z.ZodType>(
  request: Request,
  schema: Schema,
  code: 'BAD_CONFIG' | 'BAD_REQUEST' = 'BAD_REQUEST',
): Promise<z.output<Schema>> {
  const text = await readText(request);
  let value: unknown;
  try {
    value = text.trim() === '' ? undefined : JSON.parse(text);
  } catch {
    throw new BadInput(code, { body: 'is not JSON' });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new BadInput(code, fieldErrors(parsed.error.issues));
}

/** @throws BadInput */
export async function readForm<Schema extends z.ZodType>(request: Request, schema: Schema): Promise<z.output<Schema>> {
  return readQuery(new URLSearchParams(await readText(request)), schema);
}

/**
 * Checks the parameters of an address. The name of a database has been found among those that are guarded.
 *
 * @throws BadInput, or BackupError BAD_NAME
 */
export function readParams(params: Params): Params {
  for (const [name, value] of Object.entries(params)) {
    const parsed = name === 'database' ? undefined : parameters[name]?.safeParse(value);
    if (parsed?.success !== false) continue;
    if (name === 'filename')
      throw new BackupError('BAD_NAME', 'this is not the name of a backup', {
        hint: 'Names look like backup-2024-01-15T10-30-00-000Z.sqlite; api/backups lists them.',
      });
    const field = name === 'arrival' ? name : 'target';
    throw new BadInput('BAD_REQUEST', { [field]: parsed.error.issues[0]?.message ?? 'is not the name of a target' });
  }
  return params;
}
