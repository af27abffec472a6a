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
