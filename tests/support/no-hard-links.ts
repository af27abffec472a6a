/**
 * A machine whose file systems have no hard links, as exFAT and some servers of Windows: `link` is refused to a process and
 * to all that it starts, by a seccomp filter (seccomp(2)), which needs Python and Linux on x86-64.
 */
const program = `
import ctypes, os, struct, sys
LINK, LINKAT, ALLOW, EPERM = 86, 265, 0x7fff0000, 0x00050001
steps = [(0x20, 0, 0, 0), (0x15, 1, 0, LINK), (0x15, 0, 1, LINKAT), (0x06, 0, 0, EPERM), (0x06, 0, 0, ALLOW)]
code = b"".join(struct.pack("HBBI", *step) for step in steps)
kept = ctypes.create_string_buffer(code)
form = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(kept))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(form), 0, 0):
    sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
`;

export const canRefuseLinks = process.platform === 'linux' && process.arch === 'x64' && Bun.which('python3') !== null;

export function withoutHardLinks(command: readonly string[]): string[] {
  return ['python3', '-c', program, ...command];
}
