/**
 * Asks the kernel whether a file is open or mapped anywhere but here: it grants a lease for writing only then, whoever the
 * others are and in whatever container (https://man7.org/linux/man-pages/man2/fcntl.2.html, "Leases"). On Bun alone, whose
 * `bun:ffi` reaches the call; Node has no way to it.
 */

const F_SETLEASE = 1024;
const F_WRLCK = 1;
const F_UNLCK = 2;

type Fcntl = (descriptor: number, command: number, argument: number) => number;

let fcntl: Fcntl | null | undefined;

/**
 * False as well where nobody can say: on Node, on a file system without leases, for a file of another user.
 *
 * @param descriptor the only one of this process, of a file that nobody can open any more by a name. If somebody could, the
 * signal that asks for the lease back would end us.
 */
export function isOpenHereAlone(descriptor: number): boolean {
  if (fcntl === undefined) fcntl = findFcntl();
  if (fcntl === null || fcntl(descriptor, F_SETLEASE, F_WRLCK) !== 0) return false;
  fcntl(descriptor, F_SETLEASE, F_UNLCK);
  return true;
}

/** What of `bun:ffi` is used here. */
interface ForeignFunctions {
  dlopen(library: string, functions: object): { readonly symbols: { readonly fcntl: Fcntl } };
}

function findFcntl(): Fcntl | null {
  if (process.platform !== 'linux') return null;
  // No import: a bundler for Node would not find it.
  const foreign = process.getBuiltinModule('bun:ffi') as ForeignFunctions | undefined;
  try {
    const signature = { args: ['i32', 'i32', 'i32'], returns: 'i32' };
    return foreign?.dlopen('libc.so.6', { fcntl: signature }).symbols.fcntl ?? null;
  } catch {
    // Another library of C has another name.
    return null;
  }
}
