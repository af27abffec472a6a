/**
 * The heartbeat of one start in one bucket, for all places that it holds there: one small object, renewed with each tick.
 *
 * Before each renewal it is read: a renewal that is not ours, under a token that nobody else has, is that of a clone of
 * this process (a virtual machine that was copied while it ran). The count goes into the file of the installation first.
 */
import { randomUUID } from 'node:crypto';
import type { Warn } from '../disk/aside.ts';
import { BackupError } from '../../words/errors.ts';
import { changeInstallation, type Installation } from './installation.ts';
import type { ObjectStore } from '../store/store.ts';
import { createReleased, type Place, readBeat, removeBeat, writeBeat } from './objects.ts';

/** Lost answers in a row: any of these may be the one that arrived. */
const TRIED_MAX = 200;

interface HeartbeatContext {
  readonly signal: AbortSignal;
  readonly now: () => Date;
  /** Hears that the file of the installation was damaged and set aside. */
  readonly warn?: Warn;
}

/** A place that this start became the writer of. */
export interface OwnEpoch {
  /** As the file of the installation calls the place. */
  readonly address: string;
  readonly installationPath: string;
  readonly epoch: number;
}

/** The heartbeat of one start; `renew` changes it. */
export interface Heartbeat {
  readonly token: string;
  /** From the root of the bucket. */
  readonly key: string;
  /** Renewals that the file of the installation knows of. */
  beats: number;
  /** Renewals that were tried. */
  number: number;
  /** Nonce of the last renewal that arrived. */
  nonce: string | null;
  /** Nonces of later ones that may have arrived: their answers were lost. */
  tried: readonly string[];
  isAppendOnly: boolean;
}

/** @param keyOf where the heartbeat of that token lies. */
export function newHeartbeat(keyOf: (token: string) => string): Heartbeat {
  const token = randomUUID();
  return { token, key: keyOf(token), beats: 0, number: 0, nonce: null, tried: [], isAppendOnly: false };
}

/**
 * Answers the places that are still ours: another process of this installation may have taken one over.
 *
 * @throws BackupError CLONED, S3_*, ABORTED.
 */
export async function renew(
  heartbeat: Heartbeat,
  store: ObjectStore,
  epochs: readonly OwnEpoch[],
  context: HeartbeatContext,
): Promise<readonly OwnEpoch[]> {
  const { signal } = context;
  if (await isAnothers(heartbeat, store, signal)) throw cloned(store);
  const counted = await count(heartbeat, epochs, context);
  // Otherwise another process of this installation has taken them all over.
  if (counted.length > 0) await write(heartbeat, store, signal);
  return counted;
}

/** Removes it after the last place was released. Best effort. */
export async function endHeartbeat({ key, number, isAppendOnly }: Heartbeat, store: ObjectStore, signal: AbortSignal) {
  if (number > 0 && !isAppendOnly) await removeBeat(store, key, { signal });
}

async function isAnothers(
  { key, nonce, tried, isAppendOnly }: Heartbeat,
  store: ObjectStore,
  signal: AbortSignal,
): Promise<boolean> {
  // An appended one has a key of its own, and the store tells whether it is new.
  if (isAppendOnly || nonce === null) return false;
  const seen = await readBeat(store, key, { signal });
  return seen !== null && seen.nonce !== nonce && !tried.includes(seen.nonce);
}

async function write(heartbeat: Heartbeat, store: ObjectStore, signal: AbortSignal): Promise<void> {
  const { token, key, beats, isAppendOnly } = heartbeat;
  const nonce = randomUUID();
  const number = ++heartbeat.number;
  heartbeat.tried = [...heartbeat.tried.slice(-TRIED_MAX), nonce];
  const beat = { format: 'velist-backup-beat/1', token, beats, nonce } as const;
  const written = await writeBeat(store, key, beat, { signal, isAppendOnly, number });
  if (written === 'taken') throw cloned(store);
  heartbeat.nonce = nonce;
  heartbeat.tried = [];
  heartbeat.isAppendOnly = written === 'appended';
}

/** In the file of each installation, before it is sent. Answers the epochs that are still of this start. */
async function count(
  heartbeat: Heartbeat,
  epochs: readonly OwnEpoch[],
  context: HeartbeatContext,
): Promise<readonly OwnEpoch[]> {
  const { token, beats } = heartbeat;
  const ours: OwnEpoch[] = [];
  let isCounted = true;
  for (const path of new Set(epochs.map(({ installationPath }) => installationPath))) {
    const here = epochs.filter(({ installationPath }) => installationPath === path);
    try {
      const { places } = await changeInstallation(path, (it) => countedIn(it, token, beats + 1), context);
      ours.push(...here.filter(({ address }) => (places[address]?.token ?? token) === token));
    } catch (error) {
      const known = BackupError.from(error);
      if (known.code === 'ABORTED') throw known;
      // If the disk is full, the heartbeat continues with the count in the file.
      isCounted = false;
      ours.push(...here);
    }
  }
  if (isCounted) heartbeat.beats = beats + 1;
  return ours;
}

function countedIn(installation: Installation, token: string, beats: number): Installation {
  const places = Object.entries(installation.places).map(
    ([address, place]) => [address, place.token === token ? { ...place, beats } : place] as const,
  );
  return { ...installation, places: Object.fromEntries(places) };
}

/**
 * Gives a place back, so that the next writer need not wait. Nothing where another process of this installation has it by
 * now.
 *
 * @throws BackupError S3_*: then it stays ours, and others wait until it was silent for long enough.
 */
export async function releasePlace(
  place: Place,
  { address, installationPath, epoch }: OwnEpoch,
  token: string,
  context: HeartbeatContext,
): Promise<void> {
  await createReleased(place, epoch, token, { signal: context.signal });
  await changeInstallation(
    installationPath,
    (it) => {
      const held = it.places[address];
      if (held?.token !== token) return it;
      return { ...it, places: { ...it.places, [address]: { ...held, isHeld: false } } };
    },
    context,
  );
}

/**
 * Another machine has our token too, so it proves nothing any more: from now on this one is a stranger there with the
 * same id, and stops.
 */
export async function disownPlace(
  { address, installationPath }: OwnEpoch,
  token: string,
  context: HeartbeatContext,
): Promise<void> {
  await changeInstallation(
    installationPath,
    (it) => {
      const held = it.places[address];
      if (held?.token !== token) return it;
      return { ...it, places: { ...it.places, [address]: { ...held, token: randomUUID(), isHeld: false } } };
    },
    context,
  );
}

function cloned({ place }: ObjectStore): BackupError {
  return new BackupError('CLONED', `another machine renews the heartbeat of this one in ${place}`, {
    hint: 'It is a copy of this machine that was made while it ran. Stop velist-backup on one of them.',
  });
}
