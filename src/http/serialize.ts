/**
 * From the service's records to their JSON form: every `Date` becomes an ISO 8601 string in UTC, the rest stays. The
 * type does the same step, so TypeScript proves that what the service tells fits `contract.ts`.
 */
type Serialized<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? Serialized<Item>[]
    : T extends object
      ? { -readonly [Key in keyof T]: Serialized<T[Key]> }
      : T;

export function serialize<T>(value: T): Serialized<T> {
  // The one cast: `plain` does by value what `Serialized` says by type.
  return plain(value) as Serialized<T>;
}

function plain(value: unknown): unknown {
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  // In place: a list of thousands of backups is told at every change of it.
  const copy: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(value)) copy[key] = plain(inner);
  return copy;
}
