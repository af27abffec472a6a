/** Files that other machines reach too: a lock, a process or a reader there is not seen here. */
import { existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';

/** File systems on which locks of other machines, or of other processes, may not be seen (statfs `f_type`). */
const networkFileSystems = new Set([
  0x6969, // nfs
  0x517b, // smb
  0xff534d42, // cifs
  0xfe534d42, // smb2
  0x01021997, // 9p
  0x5346414f, // afs
  0x00c36400, // ceph
]);

/** @param path of a file; where there is none, the folder that it would lie in is asked. */
export function isOnNetwork(path: string): boolean {
  if (!existsSync(path)) return isOnNetwork(dirname(path));
  return networkFileSystems.has(Number(statfsSync(path).type));
}

/** File systems whose files can only be reached through this kernel, each under one inode number. */
const ownFileSystems = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0xf2f52010, // f2fs
  0x2fc12fc1, // zfs
  0x01021994, // tmpfs
]);

/** False for all that may be shared with another machine or be a view of other files: FUSE, virtiofs, overlays. */
export function isOnOwnDisk(folder: string): boolean {
  return ownFileSystems.has(Number(statfsSync(folder).type));
}
