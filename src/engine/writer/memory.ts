/**
 * What this installation knows of one place, kept while a job decides who writes there. One process at a time: two of one
 * installation would take each other for a clone.
 *
 * Where the file can't be written, on a full disk or in a folder that is read-only, backups go on: then the start knows
 * its own token and no more, and whoever asks hears that nothing is kept.
 */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { BackupError, says } from '../../words/errors.ts';
import { changeInstallation, type HeldPlace, type Installation, readInstallation } from './installation.ts';
import type { WriterSelf } from './self.ts';
import { makePrivateFolder } from '../disk/private-folder.ts';
import { takeLock } from '../disk/lock.ts';
import { type StoryContext, warnIn } from '../../words/story.ts';

export interface PlaceMemory extends Disposable {
  /** Id of this installation. */
  readonly installation: string;
  readonly held: HeldPlace | null;
  /** Token of an epoch that was about to be taken. */
  readonly taking: string | null;
  /** False if nothing outlives this process. */
  readonly isKept: boolean;
  /**
   * The file as it is now. Ask after the heartbeat was read: another process of this installation counts there first,
   * and then renews it.
   */
  reread(): void;
  /** Called before the target hears of it. */
  noteTaking(token: string): Promise<void>;
  /** How often that start renewed its heartbeat so far is taken from its other places. */
  noteTaken(held: Pick<HeldPlace, 'epoch' | 'token' | 'isHeld' | 'sparesOthersUntil'>): Promise<void>;
  noteSparing(until: string | null): Promise<void>;
}

/** Another process of this installation that looks at the same place may have to wait for the server. */
const LOCK_WAIT_MS = 120_000;

type Context = Pick<StoryContext, 'now' | 'signal' | 'onEvent'>;

/** @throws BackupError BUSY, ABORTED. */
export async function openPlaceMemory(
  { maker, installationPath }: Pick<WriterSelf, 'maker' | 'installationPath'>,
  address: string,
  context: Context,
): Promise<PlaceMemory> {
  let lock: Disposable | null = null;
  try {
    const digest = createHash('sha256').update(address).digest('hex').slice(0, 12);
    makePrivateFolder(dirname(installationPath));
    const path = join(dirname(installationPath), `.velist-writer-${digest}.lock`);
    const warn = warnIn(context);
    lock = await takeLock(path, { waitMs: LOCK_WAIT_MS, signal: context.signal, warn });
    return memoryOf(await changeInstallation(installationPath, (it) => it, { ...context, warn }), {
      lock,
      installationPath,
      address,
      context,
    });
  } catch (error) {
    lock?.[Symbol.dispose]();
    const known = BackupError.from(error);
    if (!says(known.code, 'not-written')) throw known;
    return withoutMemory(maker.installation);
  }
}

function memoryOf(
  first: Installation,
  {
    lock,
    installationPath,
    address,
    context,
  }: { lock: Disposable; installationPath: string; address: string; context: Context },
): PlaceMemory {
  let known = first;
  const change = async (work: (installation: Installation) => Installation) => {
    known = await changeInstallation(installationPath, work, { ...context, warn: warnIn(context) });
  };
  return {
    isKept: true,
    get installation() {
      return known.id;
    },
    get held() {
      return known.places[address] ?? null;
    },
    get taking() {
      return known.taking[address] ?? null;
    },
    reread() {
      known = readInstallation(installationPath) ?? known;
    },
    async noteTaking(token) {
      await change((it) => ({ ...it, taking: { ...it.taking, [address]: token } }));
    },
    async noteTaken(held) {
      await change((it) => {
        const { [address]: _taken, ...taking } = it.taking;
        const beats = beatsOf(it, held.token);
        return { ...it, taking, places: { ...it.places, [address]: { ...held, beats } } };
      });
    },
    async noteSparing(until) {
      await change((it) => {
        const held = it.places[address];
        return held ? { ...it, places: { ...it.places, [address]: { ...held, sparesOthersUntil: until } } } : it;
      });
    },
    [Symbol.dispose]: () => lock[Symbol.dispose](),
  };
}

function withoutMemory(installation: string): PlaceMemory {
  let held: HeldPlace | null = null;
  return {
    ...{ isKept: false, installation, taking: null },
    get held() {
      return held;
    },
    reread() {},
    async noteTaking() {},
    async noteTaken(taken) {
      held = { ...taken, beats: 0 };
    },
    async noteSparing() {},
    [Symbol.dispose]() {},
  };
}

/** All places of a start have one count, because they share its heartbeat. */
function beatsOf({ places }: Installation, token: string): number {
  return Math.max(0, ...Object.values(places).flatMap((place) => (place.token === token ? place.beats : [])));
}
