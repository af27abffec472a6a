/** What is asked of an upload, and what it answers. */
import type { RetentionPolicy } from '../catalog/retention.ts';
import type { SealName, Sealing } from '../format/seal.ts';
import type { WritingRequest } from '../writer/writing.ts';
import type { KnownManifest, RemoteListing } from '../catalog/store-catalog.ts';
import type { TargetAccess } from '../store/kinds.ts';
import type { Survivor } from '../catalog/prune-store.ts';
import type { PlaceIdentity } from '../catalog/identity.ts';

export interface UploadRequest extends WritingRequest {
  readonly kind: 'upload';
  readonly target: string;
  readonly folder: string;
  readonly name: string;
  readonly prefix: string;
  readonly access: TargetAccess;
  /** For what is stored from now on; what is stored already stays as it is. */
  readonly sealing: Sealing;
  /** What to keep at the target after the upload; null while nothing may be removed. */
  readonly retention: RetentionPolicy | null;
  /** Manifests of the last listing: what did not change is not read again. */
  readonly known: readonly KnownManifest[];
  /** Whose the place was when it was looked at last. */
  readonly identity?: PlaceIdentity | null;
}

export interface Uploaded {
  readonly key: string;
  /** How the copy at the target is sealed, by now or by an earlier upload. */
  readonly sealing: SealName;
  /** What the target holds now; null when it could not be listed after the upload. */
  readonly listing: RemoteListing | null;
  readonly removed: readonly string[];
  /** What retention removed and is there all the same. */
  readonly survived: readonly Survivor[];
  /** Why the target was not looked through; the backup is stored all the same. */
  readonly complaint: string | null;
  /** How many backups of the folder got a higher number, because the target held higher ones. */
  readonly renumbered: number;
}
