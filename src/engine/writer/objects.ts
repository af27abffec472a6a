/**
 * What lies below `writer/` at a target, and says who writes there:
 *
 * - `0000000007.json`: an epoch, created only if absent and never changed. The highest number is the writer.
 * - `0000000007.released.json`: that writer has ended, and the next one need not wait.
 * - `0000000007.clone-….json`: a machine with the same id met that writer, and stopped.
 * - `beat-….json`: a heartbeat, renewed with each tick; where nothing may be replaced, `beat-…-0000000001.json` and so on.
 *   A process that guards many databases has one in each bucket, so an epoch names its heartbeat by the whole key.
 * - `knock-….json`: there for a moment, to learn the server's time.
 *
 * Only the server's own times are compared: whose clock is wrong changes nothing.
 */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { BackupError } from '../../words/errors.ts';
import { isKey } from '../store/object-key.ts';
import { factsOf } from '../store/s3/errors.ts';
import { bytesOf, getBytes, isNotThere, type ListedObject, type ObjectStore } from '../store/store.ts';

export interface Place {
  /** The bucket from its root, because a heartbeat may lie below another prefix. */
  readonly store: ObjectStore;
  readonly prefix: string;
}

interface Options {
  readonly signal?: AbortSignal;
}

/** A writer is not called silent before this; a tick is an hour at most. */
export const EVERY_MAX_MS = 3_600_000;
const FOLDER = 'writer/';
const OBJECT_BYTES_MAX = 64 * 1024;
/** Epochs that stay, ours included. */
const EPOCHS_KEPT = 3;
/** An object this old belongs to no epoch any more, such as the heartbeat of a process that was killed. */
const LEFTOVER_MS = 7 * 86_400_000;
/** A limit, because where nothing may be deleted each take tries them all again. */
const REMOVED_AT_ONCE_MAX = 20;
const KNOCKS_MAX = 3;
/** Each attempt that finds the newest epoch gone means that another machine has tidied up meanwhile. */
const LOOKS_MAX = 5;

const writerSchema = z.object({
  format: z.literal('velist-backup-writer/1'),
  token: z.string().min(1),
  installation: z.string(),
  host: z.string(),
  databaseId: z.string().nullable(),
  /** Digest of the database's path. */
  path: z.string(),
  /** The time by the clock of that machine, for people. */
  at: z.string(),
  everyMs: z.number().positive(),
  /** Key of the heartbeat, from the root of the bucket: only such a one is looked for. */
  beat: z
    .string()
    .regex(/(^|\/)writer\/beat-[\w-]+\.json$/)
    .refine(isKey),
  /** A person said that the place is this one's. */
  claimed: z.boolean(),
});
const beatSchema = z.object({
  format: z.literal('velist-backup-beat/1'),
  token: z.string(),
  beats: z.int().nonnegative(),
  /** New with each renewal: one that is not ours under our token is a clone's. */
  nonce: z.string(),
});
const markSchema = z.object({ host: z.string() });

type Writer = z.infer<typeof writerSchema>;
type Beat = z.infer<typeof beatSchema>;

/** How messages name it. */
export function placeText({ store, prefix }: Place): string {
  return prefix === '' ? store.place : `${prefix} in ${store.place}`;
}

/** The name of an object below `writer/` as a whole key. */
export function keyAt({ prefix }: Pick<Place, 'prefix'>, name: string): string {
  return prefix === '' ? FOLDER + name : `${prefix}/${FOLDER}${name}`;
}

export const beatName = (token: string): string => `beat-${token}.json`;
const epochName = (epoch: number): string => `${String(epoch).padStart(10, '0')}.json`;
const named = /^(\d{10,15})(?:\.(released|clone-[\w-]+))?\.json$/;

// ── look ──

export interface SeenEpoch {
  readonly epoch: number;
  /** Null if what stands there can't be read: then nobody knows whose it is. */
  readonly writer: Writer | null;
  /** The server's time. */
  readonly since: Date;
  readonly isReleased: boolean;
}

interface SeenClone {
  readonly key: string;
  readonly seenAt: Date;
}

export interface PlaceLook {
  readonly newest: SeenEpoch | null;
  /** Machines with the id of a writer that stopped because of it. */
  readonly clones: readonly SeenClone[];
  /** Their keys are names below `writer/`. */
  readonly objects: readonly ListedObject[];
}

/** @throws BackupError S3_*: whoever may not look does not know who writes there. */
export async function lookAt(place: Place, options: Options): Promise<PlaceLook> {
  try {
    for (let looks = 0; looks < LOOKS_MAX; looks++) {
      const objects = await list(place, options);
      const epochs = objects.flatMap((object) => {
        const [, number, kind] = named.exec(object.key) ?? [];
        return number === undefined ? [] : [{ epoch: Number(number), kind, object }];
      });
      const clones = epochs
        .filter(({ kind }) => kind?.startsWith('clone-'))
        .map(({ object }) => ({ key: object.key, seenAt: object.modifiedAt }));
      const newest = epochs
        .filter(({ kind }) => kind === undefined)
        .reduce<(typeof epochs)[number] | null>((best, one) => (one.epoch > (best?.epoch ?? 0) ? one : best), null);
      if (newest === null) return { newest, clones, objects };
      const { epoch, object } = newest;
      const writer = await readWriter(place, object.key, options);
      // Removed since it was listed.
      if (writer === undefined) continue;
      const isReleased = epochs.some((one) => one.epoch === epoch && one.kind === 'released');
      return { newest: { epoch, writer, since: object.modifiedAt, isReleased }, clones, objects };
    }
    throw new BackupError(place.store.words.codes.mismatch, `${placeText(place)} lists an epoch that is not there`, {
      hint: 'It lists objects that were removed, or misses ones that were written, so nobody can tell who writes there.',
    });
  } catch (error) {
    throw unknowable(error);
  }
}

async function list(place: Place, options: Options): Promise<readonly ListedObject[]> {
  const before = keyAt(place, '');
  const objects: ListedObject[] = [];
  for await (const object of place.store.list(before, options))
    objects.push({ ...object, key: object.key.slice(before.length) });
  return objects;
}

/** Undefined where it is not there; null if it is not of our form. */
async function readWriter(place: Place, name: string, options: Options): Promise<Writer | null | undefined> {
  const text = await textAt(place.store, keyAt(place, name), options);
  return text === null ? undefined : parse(writerSchema, text);
}

/** The host that left a clone's mark. */
export async function hostOfClone(place: Place, { key }: SeenClone, options: Options): Promise<string> {
  const text = await textAt(place.store, keyAt(place, key), options);
  return (text !== null && parse(markSchema, text)?.host) || 'unknown';
}

type SeenBeat = Pick<Beat, 'token' | 'beats'> & { readonly modifiedAt: Date };

/** The last renewal, wherever it lies; null if there is none. One of another form says when it was made all the same. */
export async function lastBeat(store: ObjectStore, key: string, options: Options): Promise<SeenBeat | null> {
  const stem = key.replace(/\.json$/, '');
  let newest: ListedObject | null = null;
  for await (const object of store.list(stem, options)) {
    if (object.key !== key && !object.key.startsWith(`${stem}-`)) continue;
    if (newest === null || object.modifiedAt.getTime() >= newest.modifiedAt.getTime()) newest = object;
  }
  if (newest === null) return null;
  const beat = await readBeat(store, newest.key, options);
  return { token: '', beats: 0, ...beat, modifiedAt: newest.modifiedAt };
}

/** Null if there is none under that very key, or none of our form. */
export async function readBeat(store: ObjectStore, key: string, options: Options): Promise<Beat | null> {
  const text = await textAt(store, key, options);
  return text === null ? null : parse(beatSchema, text);
}

async function textAt(store: ObjectStore, key: string, options: Options): Promise<string | null> {
  try {
    return new TextDecoder().decode(await getBytes(store, key, { ...options, limitBytes: OBJECT_BYTES_MAX }));
  } catch (error) {
    if (isNotThere(error)) return null;
    // Far too large for one of ours.
    if (error instanceof BackupError && error.code === 'BAD_REQUEST') return '';
    throw error;
  }
}

function parse<Value>(schema: z.ZodType<Value>, text: string): Value | null {
  try {
    return schema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

// ── write ──

/**
 * Creates the epoch; false if another machine was faster. Where the server honours create-only, its first answer
 * decides. Where it ignores it, two that begin at once both hear yes: so we read it back, and look once more a moment
 * later, when what the other wrote over it has arrived.
 */
export async function createEpoch(
  place: Place,
  epoch: number,
  writer: Writer,
  options: Options & { readonly secondLookMs: number },
): Promise<boolean> {
  const { store } = place;
  const key = keyAt(place, epochName(epoch));
  const text = format(writer);
  try {
    if (!(await writeOnce(store, key, text, options))) return false;
    // Refused now, the condition holds here; taken, or unknown, it means nothing.
    if (await isKept(store, key, text, options)) return true;
    await sleep(options.secondLookMs, undefined, { signal: options.signal });
    return (await textAt(store, key, options)) === text;
  } catch (error) {
    throw unknowable(error);
  }
}

/** False if there is such an object. A server without create-only is asked first, and then written to. */
async function writeOnce(store: ObjectStore, key: string, text: string, options: Options): Promise<boolean> {
  try {
    return await store.putIfAbsent(key, Buffer.from(text), { signal: options.signal, contentType: JSON_TYPE });
  } catch (error) {
    if (!isUnsupported(error)) throw error;
    if ((await store.head(key, options)) !== null) return false;
    await write(store, key, text, options);
    return true;
  }
}

/** Whether what was written stays what it is: the same bytes are refused a second time. */
async function isKept(store: ObjectStore, key: string, text: string, options: Options): Promise<boolean> {
  try {
    return !(await store.putIfAbsent(key, Buffer.from(text), { signal: options.signal, contentType: JSON_TYPE }));
  } catch (error) {
    if (!isUnsupported(error)) throw error;
    return false;
  }
}

const isUnsupported = (error: unknown): boolean => error instanceof BackupError && error.code === 'UNSUPPORTED';

export async function createReleased(place: Place, epoch: number, token: string, options: Options): Promise<void> {
  const key = keyAt(place, epochName(epoch).replace('.json', '.released.json'));
  await writeOnce(place.store, key, format({ format: 'velist-backup-released/1', token }), options);
}

/** Tells the writer that this machine has its id. Renewed with each try, as a heartbeat is. */
export async function markClone(place: Place, epoch: number, token: string, options: Options): Promise<void> {
  const key = keyAt(place, epochName(epoch).replace('.json', `.clone-${token.slice(0, 8)}.json`));
  await writeSomewhere(place.store, key, format({ format: 'velist-backup-clone/1', host: hostname() }), options);
}

/** Best effort. */
export async function forgetClone(place: Place, { key }: SeenClone, options: Options): Promise<void> {
  await place.store.delete(keyAt(place, key), options).catch(letBe);
}

/** The server's current time. */
export async function knock(place: Place, installation: string, options: Options): Promise<Date> {
  const text = format({ format: 'velist-backup-knock/1', installation, host: hostname() });
  for (let knocks = 0; knocks < KNOCKS_MAX; knocks++) {
    const key = await writeSomewhere(place.store, keyAt(place, `knock-${installation}.json`), text, options).catch(
      (error: unknown) => {
        throw unknowable(error);
      },
    );
    const head = await place.store.head(key, options);
    await place.store.delete(key, options).catch(letBe);
    // Another process of ours knocked at the same moment, and removed it.
    if (head !== null) return head.modifiedAt;
  }
  const { place: where, words } = place.store;
  throw new BackupError(words.codes.mismatch, `what was written to ${where} can't be found there`, {
    hint: 'It shows new objects late, or something removes them at once.',
  });
}

/** The server's time of an object that was written just now. */
export async function timeOf(place: Place, epoch: number, options: Options): Promise<Date | null> {
  return (await place.store.head(keyAt(place, epochName(epoch)), options))?.modifiedAt ?? null;
}

/**
 * Renews a heartbeat, under a new key where nothing may be replaced. `taken`: such a key was used already, by a clone.
 *
 * @param options.number of this renewal.
 */
export async function writeBeat(
  store: ObjectStore,
  key: string,
  beat: Beat,
  options: Options & { readonly isAppendOnly: boolean; readonly number: number },
): Promise<'replaced' | 'appended' | 'taken'> {
  const { number, signal } = options;
  if (!options.isAppendOnly) {
    const refused = await write(store, key, format(beat), { signal }).then(
      () => null,
      (error: unknown) => BackupError.from(error),
    );
    if (refused === null) return 'replaced';
    if (!mayBeAppendOnly(refused)) throw refused;
  }
  if (!(await writeOnce(store, numbered(key, number), format(beat), { signal }))) return 'taken';
  // The one before says nothing any more; where it may not be deleted either, a rule of the bucket has to expire it.
  if (number > 1) await store.delete(numbered(key, number - 1), { signal }).catch(letBe);
  return 'appended';
}

/** Best effort: the next writer knows by the epoch that it was released. */
export async function removeBeat(store: ObjectStore, key: string, options: Options): Promise<void> {
  await store.delete(key, options).catch(letBe);
}

/** Epochs before the newest three, with what belongs to them, and what nobody has touched for a week. Best effort. */
export async function tidy(place: Place, { objects }: PlaceLook, epoch: number, options: Options): Promise<void> {
  const nowMs = Math.max(0, ...objects.map(({ modifiedAt }) => modifiedAt.getTime()));
  const old = objects.filter(({ key, modifiedAt }) => {
    const number = named.exec(key)?.[1];
    if (number !== undefined) return Number(number) <= epoch - EPOCHS_KEPT;
    return /^(beat|knock)-/.test(key) && nowMs - modifiedAt.getTime() > LEFTOVER_MS;
  });
  const keys = old.slice(0, REMOVED_AT_ONCE_MAX).map(({ key }) => keyAt(place, key));
  if (keys.length > 0) await place.store.deleteMany(keys, options).catch(letBe);
}

const JSON_TYPE = 'application/json';

async function write(store: ObjectStore, key: string, text: string, options: Options): Promise<void> {
  await store.put(key, bytesOf(text), { ...options, sizeBytes: Buffer.byteLength(text), contentType: JSON_TYPE });
}

/** Writes under that key, or under a new one where nothing may be replaced; answers which. */
async function writeSomewhere(store: ObjectStore, key: string, text: string, options: Options): Promise<string> {
  try {
    await write(store, key, text, options);
    return key;
  } catch (error) {
    if (!mayBeAppendOnly(BackupError.from(error))) throw error;
    const another = numbered(key, Math.floor(Math.random() * 1e9));
    await writeOnce(store, another, text, options);
    return another;
  }
}

const numbered = (key: string, number: number): string =>
  key.replace(/\.json$/, `-${String(number).padStart(10, '0')}.json`);

/** Servers and policies that let nothing be replaced refuse a plain write, some by 403, others by 405, 409 or 412. */
function mayBeAppendOnly({ cause }: BackupError): boolean {
  const { status = 0 } = factsOf(cause);
  return status >= 400 && status < 500;
}

function format(content: object): string {
  return `${JSON.stringify(content, null, 2)}\n`;
}

function letBe(error: unknown): void {
  if (error instanceof BackupError && error.code === 'ABORTED') throw error;
}

/** The key may not list or write below `writer/`: we stop, because two that write blindly would prune each other. */
function unknowable(error: unknown): BackupError {
  const known = BackupError.from(error);
  if (known.code !== 'S3_DENIED') return known;
  return new BackupError('S3_DENIED', `${known.message}, so nobody can tell who writes there`, {
    hint: `${known.hint} Nothing is uploaded or removed there until then; local backups continue.`,
    cause: known,
  });
}
