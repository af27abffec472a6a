/** A folder on another disk, or on a server whose disk is mounted here. */
export interface FolderAccess {
  readonly kind: 'folder';
  /** Must be there, with its mark. */
  readonly path: string;
}
