/**
 * Runs a command, follows its system calls by ptrace, and puts one fault in place of a call; see `system-calls.ts`.
 *
 * It is a process of its own: it waits for every stop of every thread, and no event loop can go on meanwhile.
 * https://man7.org/linux/man-pages/man2/ptrace.2.html
 */
import { dlopen, ptr } from 'bun:ffi';
import { spawn } from 'node:child_process';
import {
  closeSync,
  constants as files,
  existsSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  writeSync,
} from 'node:fs';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import { type CallForm, callForms, type Following, goFile, type ReportLine, withoutChance } from './system-calls.ts';

const { symbols: libc } = dlopen('libc.so.6', {
  ptrace: { args: ['i64', 'i64', 'i64', 'i64'], returns: 'i64' },
  waitpid: { args: ['i32', 'ptr', 'i32'], returns: 'i32' },
});

const SEIZE = 0x4206;
const SYSCALL = 24;
const POKE_DATA = 5;
const POKE_USER = 6;
const GET_SYSCALL_INFO = 0x420e;
/** A mark at stops of calls, all threads, all children, and an end of them with ours. */
const OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100000;
const WALL = 0x40000000;
const CALL_STOP = constants.signals.SIGTRAP | 0x80;
const [IS_ENTRY, IS_EXIT] = [1, 2];

/** Where a register lies in the user area of a thread. */
const ORIGINAL_RAX = 15 * 8;
const RAX = 10 * 8;
const argumentRegisters = [14, 13, 12, 7, 9, 8].map((place) => place * 8);

/** `statfs` and `fstatfs`, and where their answer counts what is free. */
const STATFS: ReadonlySet<number> = new Set([137, 138]);
const [FREE_BLOCKS, FREE_FILES] = [32, 48];

const AT_CURRENT_FOLDER = -100;
const CLONE_REQUESTS: ReadonlySet<number> = new Set([0x40049409, 0x4020940d]);
const PATH_BYTES_MAX = 4096;
const STEP_BYTES_MAX = 4096;
const PAUSE_MS_MAX = 60_000;

const following = JSON.parse(process.argv[2] ?? '') as Following; // our own parent wrote it
const { fault } = following;
const report = openSync(following.report, 'w');
const counts = new Map<string, number>();
let step = 'start';
let mayPause = true;
/** From a fault of the kind `full` on, nothing finds room. */
let isFull = false;

/** What has to be done when the call of a thread ends. */
const endings = new Map<number, () => void>();

const info = new DataView(new ArrayBuffer(88));
const infoAt = Number(ptr(info.buffer));

function main(): void {
  const root = startStopped();
  if (libc.ptrace(SEIZE, root, 0, OPTIONS) !== 0n) stopForWant(root);
  process.kill(root, 'SIGCONT');
  const status = new Int32Array(1);
  for (;;) {
    const thread = libc.waitpid(-1, ptr(status), WALL);
    const [word = 0] = status;
    // A signal of our own runtime may end the wait too early.
    if (thread < 0 && existsSync(`/proc/${root}`)) continue;
    if (thread < 0) return;
    const ended = (word & 0x7f) === 0 || ((word & 0xff) !== 0x7f && (word & 0x7f) !== 0);
    if (ended && thread === root) return;
    if (ended) continue;
    const signal = (word >> 8) & 0xff;
    const event = word >> 16;
    if (signal === CALL_STOP) followStop(thread, root);
    // A stop that ptrace itself made, or one of the whole group, is none of the command's signals.
    const passed = signal === CALL_STOP || event !== 0 ? 0 : signal;
    libc.ptrace(SYSCALL, thread, 0, passed);
  }
}

function stopForWant(root: number): never {
  process.kill(root, 'SIGKILL');
  throw new Error('the system does not let us follow a process by ptrace');
}

/** It stops itself before it becomes the command, so that no call of the command is missed. */
function startStopped(): number {
  const child = spawn('/bin/sh', ['-c', 'kill -STOP $$; exec "$0" "$@"', ...following.command], { stdio: 'inherit' });
  const { pid } = child;
  if (pid === undefined) throw new Error('the command could not be started');
  while (!/\) T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) Bun.sleepSync(1);
  return pid;
}

function followStop(thread: number, root: number): void {
  libc.ptrace(GET_SYSCALL_INFO, thread, info.byteLength, infoAt);
  const kind = info.getUint8(0);
  if (kind === IS_EXIT) {
    endings.get(thread)?.();
    endings.delete(thread);
  }
  if (kind !== IS_ENTRY) return;
  const number = Number(info.getBigUint64(24, true));
  if (isFull && STATFS.has(number)) sayNoRoom(thread, argument(1));
  const form = callForms.get(number);
  if (form) followCall(thread, root, form);
}

function followCall(thread: number, root: number, form: CallForm): void {
  noteStep(thread, form);
  if (!changesSomething(form)) return;
  const files = filesOf(thread, form);
  if (files === null) return;
  const name = `${form.name} ${files}`;
  const nth = (counts.get(name) ?? 0) + 1;
  counts.set(name, nth);
  const length = form.length === undefined ? null : argument(form.length);
  say({ call: { name, nth, step, length } });
  if (isFull && form.takesRoom) fail(thread, 'ENOSPC');
  if (fault?.call.name !== name || fault.call.nth !== nth) return;
  say({ struck: `${name} (${nth})` });
  strike(thread, root, form);
}

function strike(thread: number, root: number, form: CallForm): void {
  switch (fault?.kind) {
    case 'killed before':
      process.kill(root, 'SIGKILL');
      break;
    case 'killed after':
      endings.set(thread, () => void process.kill(root, 'SIGKILL'));
      break;
    case 'full':
      isFull = true;
      fail(thread, 'ENOSPC');
      break;
    case 'short':
      shorten(thread, form);
      break;
    case 'EIO':
    case 'ENOSPC':
    case 'EINTR':
      fail(thread, fault.kind);
  }
}

/** The kernel carries out no call of that number; at its end the thread reads the error. */
function fail(thread: number, error: 'EIO' | 'ENOSPC' | 'EINTR'): void {
  libc.ptrace(POKE_USER, thread, ORIGINAL_RAX, -1);
  endings.set(thread, () => void libc.ptrace(POKE_USER, thread, RAX, -constants.errno[error]));
}

/** A full disk says so of itself; the two numbers are in the answer, at these places. */
function sayNoRoom(thread: number, answer: number): void {
  endings.set(thread, () => {
    for (const place of [FREE_BLOCKS, FREE_FILES]) libc.ptrace(POKE_DATA, thread, answer + place, 0);
  });
}

/** Half of it is written, and the call says so. The register is the program's own, and gets its value back. */
function shorten(thread: number, { length }: CallForm): void {
  if (length === undefined) return;
  const register = argumentRegisters[length] ?? 0;
  const whole = argument(length);
  libc.ptrace(POKE_USER, thread, register, Math.max(1, Math.floor(whole / 2)));
  endings.set(thread, () => void libc.ptrace(POKE_USER, thread, register, whole));
}

function changesSomething({ name, flags }: CallForm): boolean {
  if (name === 'ioctl') return CLONE_REQUESTS.has(argument(1));
  return flags === undefined || (argument(flags) & (files.O_CREAT | files.O_TRUNC)) !== 0;
}

/** The files that a call names, below the folder; null when none is. */
function filesOf(thread: number, form: CallForm): string | null {
  const found = [
    form.descriptor === undefined ? null : linkOf(`/proc/${thread}/fd/${argument(form.descriptor) | 0}`),
    form.path === undefined ? null : pathOf(thread, form.path, form.at),
    form.to === undefined ? null : pathOf(thread, form.to, form.toAt),
  ].flatMap((path) => path ?? []);
  if (!found.some((path) => path.startsWith(`${following.folder}/`))) return null;
  return found.map((path) => withoutChance(path.slice(following.folder.length + 1))).join(' → ');
}

function pathOf(thread: number, index: number, at: number | undefined): string | null {
  const text = readText(thread, argument(index), PATH_BYTES_MAX);
  const folder = at === undefined ? AT_CURRENT_FOLDER : argument(at) | 0;
  const start = linkOf(folder === AT_CURRENT_FOLDER ? `/proc/${thread}/cwd` : `/proc/${thread}/fd/${folder}`);
  const path = text.split('\0', 1)[0] ?? '';
  const [, descriptor, below = ''] = /^\/proc\/self\/fd\/(\d+)(\/.*)$/.exec(path) ?? [];
  if (descriptor !== undefined) return `${linkOf(`/proc/${thread}/fd/${descriptor}`)}${below}`;
  return start === null ? null : resolve(start, path);
}

function linkOf(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

/** A job says its steps on standard output, as lines of JSON. */
function noteStep(thread: number, { name }: CallForm): void {
  if (name !== 'write' || argument(0) !== 1) return;
  const text = readText(thread, argument(1), Math.min(argument(2), STEP_BYTES_MAX));
  step = /"type":"step","name":"(\w+)"/.exec(text)?.[1] ?? step;
  if (mayPause && following.pauseAfter !== null && text.includes(following.pauseAfter)) {
    mayPause = false;
    endings.set(thread, waitForGo);
  }
}

/** Only the thread that spoke is held, and the job does all of its work in that one. */
function waitForGo(): void {
  const until = performance.now() + PAUSE_MS_MAX;
  while (!existsSync(goFile(following.report)) && performance.now() < until) Bun.sleepSync(1);
}

function readText(thread: number, address: number, bytes: number): string {
  const memory = openSync(`/proc/${thread}/mem`, 'r');
  try {
    const text = Buffer.alloc(bytes);
    return text.toString('utf8', 0, readSync(memory, text, 0, bytes, address));
  } finally {
    closeSync(memory);
  }
}

/** Addresses and lengths are below 2^53; of a descriptor the lower half counts. */
function argument(index: number): number {
  return Number(info.getBigUint64(32 + index * 8, true));
}

function say(line: ReportLine): void {
  writeSync(report, `${JSON.stringify(line)}\n`);
}

main();
process.exit();
