/** The first step of every job that writes at a target: are we the one writer there? */
import type { DatabaseSelf, WriterSelf } from '../writer/self.ts';
import { addressOf, type TargetAccess, type TargetStore } from '../store/kinds.ts';
import { claimWriter, type Holding, holdPlace, type HoldRequest, seeWriter } from '../writer/writer.ts';
import type { Place } from '../writer/objects.ts';
import type { ClaimedWriting, WritingRequest } from '../writer/writing.ts';
import type { StoryContext } from '../../words/story.ts';
import type { UploadRequest } from './upload-request.ts';
import type { Claim, PlaceIdentity, PlaceRecord } from '../catalog/identity.ts';

/** Makes the place this database's, and this installation the writer there, whoever is. */
export interface ClaimRemoteRequest extends Required<WritingRequest> {
  readonly kind: 'claim-remote';
  readonly target: string;
  /** The folder of the backups: its lock keeps uploads away meanwhile. */
  readonly folder: string;
  readonly prefix: string;
  readonly access: TargetAccess;
  /** What makes the place ours, oldest first; null if it is ours already, or of nobody. */
  readonly claim: {
    readonly claims: readonly Claim[];
    /** Written where there is none. */ readonly record: PlaceRecord;
  } | null;
}

export interface ClaimedRemote extends ClaimedWriting {
  /** Null if nothing of it was changed. */
  readonly identity: PlaceIdentity | null;
}

type Target = Pick<UploadRequest, 'access' | 'prefix'>;

/**
 * Null for a request that does not mention a writer, as from older versions: nobody is asked then.
 * @throws BackupError PLACE_TAKEN, CLONED, S3_*.
 */
export async function holdTarget(
  store: TargetStore,
  request: Target & WritingRequest,
  context: StoryContext,
): Promise<Holding | null> {
  const { self, writing } = request;
  if (!self || !writing) return null;
  const asked: HoldRequest = { self: writerSelf(self), writing, address: addressOfTarget(request) };
  return await holdPlace(placeOf(store, request), asked, context);
}

/** Tells the parent who writes there. A key that may not look there reports nothing, and still lists the backups. */
export async function seeTarget(
  store: TargetStore,
  request: Target & WritingRequest,
  context: StoryContext,
): Promise<void> {
  const { self } = request;
  if (!self) return;
  const asked = { self: writerSelf(self), address: addressOfTarget(request) };
  const news = await seeWriter(placeOf(store, request), asked, context).catch((error: unknown) => {
    if (context.signal.aborted) throw error;
    return null;
  });
  if (news) context.onEvent({ type: 'writer', news });
}

/** @throws BackupError S3_*. */
export async function claimWriting(
  store: TargetStore,
  request: ClaimRemoteRequest,
  context: StoryContext,
): Promise<ClaimedWriting> {
  const asked: HoldRequest = { ...request, self: writerSelf(request.self), address: addressOfTarget(request) };
  return await claimWriter(placeOf(store, request), asked, context);
}

function placeOf(store: TargetStore, { prefix }: Target): Place {
  return { store: store.root, prefix: prefix.replace(/^\/+|\/+$/g, '') };
}

function addressOfTarget({ access, prefix }: Target): string {
  return addressOf(access, prefix);
}

/** The service says both with each request that it makes at a target. */
function writerSelf({ maker, installationPath, ...self }: DatabaseSelf): WriterSelf {
  if (maker === null || installationPath === null) throw new Error('a job at a target was not given its installation');
  return { ...self, maker, installationPath };
}
