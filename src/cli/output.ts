/**
 * What the command line prints. Standard output carries the answer (with `--json` exactly one document); progress,
 * plans and errors go to standard error. Colour and the moving bar are for terminals; `NO_COLOR` turns colour off, and
 * `FORCE_COLOR` turns it on where no terminal is.
 *
 * Nothing but what stands here talks to the terminal: control characters in names, notes and errors are shown.
 */
import type { BackupError } from '../words/errors.ts';
import { visibleJson, visibleText } from '../words/visible-text.ts';
import type { BackupItem, RunProgress } from '../service/model.ts';
import { rowsText } from './text/row-changes.ts';
import { type Marks, painted } from './text/colours.ts';
import { table, type TableOptions } from './text/tables.ts';

export interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

interface OutputOptions {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly json: boolean;
  readonly quiet: boolean;
  /** Left out: where the terminal is. */
  readonly color?: boolean | undefined;
}

export interface Output {
  /** The answer: the document with `--json`, else the text; nothing of the text with `--quiet`. */
  answer(document: unknown, text: string, marks?: Marks): void;
  readonly json: boolean;
  /** Width of the terminal that answers and notes go to; undefined if there is none. */
  readonly width: number | undefined;
  readonly noteWidth: number | undefined;
  /** A remark beside the answer. */
  note(text: string): void;
  /** A remark that `--quiet` does not hush. */
  warn(text: string): void;
  /** @param logged how the log words it, if not in the same way. */
  error(error: BackupError, logged?: string): void;
  /** A line of the service's log. A failure that the command reports too is said once, by the command. */
  log(line: string, level: string): void;
  /** Takes the bar away and prints the failures of the log that nobody reported. */
  end(): void;
  /** Draws a run; `done` takes the bar away. */
  readonly progress: { show(run: RunProgress): void; done(): void };
}

/** Between two drawings of the bar. */
const DRAW_MS = 100;
const BAR_CELLS = 24;
const BAR_CELLS_MIN = 5;
const BRACKETS = 2;

export function createOutput({ stdout, stderr, json, quiet, color }: OutputOptions): Output {
  const hasColor = ({ isTTY }: Sink) => color ?? isTTY === true;
  const hasBar = stderr.isTTY === true && !quiet;
  let drawnAt = 0;
  let drawn = false;
  const reported: string[] = [];
  const held: string[] = [];

  function done(): void {
    if (drawn) stderr.write('\r\x1b[K');
    drawn = false;
  }

  return {
    json,
    width: widthOf(stdout),
    noteWidth: widthOf(stderr),
    answer(document, text, marks = []) {
      done();
      const shown = visibleText(text);
      if (json) stdout.write(`${visibleJson(JSON.stringify(document, null, 2))}\n`);
      else if (!quiet && text !== '') stdout.write(`${hasColor(stdout) ? painted(shown, marks) : shown}\n`);
    },
    note(text) {
      done();
      if (!quiet) stderr.write(`${visibleText(text)}\n`);
    },
    warn(text) {
      done();
      stderr.write(`${visibleText(text)}\n`);
    },
    error(error, logged = error.message) {
      done();
      reported.push(visibleText(logged));
      if (json) stdout.write(`${visibleJson(JSON.stringify({ error: error.toJSON() }, null, 2))}\n`);
      else {
        const text = visibleText(`${error.message} (${error.code})\n${error.hint}`);
        stderr.write(`${hasColor(stderr) ? painted('Error:', [[/.+/, 'red']]) : 'Error:'} ${text}\n`);
      }
    },
    log(line, level) {
      if (level === 'error' && !json) held.push(line);
      else if (level !== 'info') stderr.write(`${line}\n`);
    },
    end() {
      done();
      const left = held.splice(0).filter((line) => !reported.some((message) => line.includes(message)));
      for (const line of left) stderr.write(`${line}\n`);
    },
    progress: {
      show(run) {
        const now = Date.now();
        if (!hasBar || now - drawnAt < DRAW_MS) return;
        drawnAt = now;
        drawn = true;
        // The last cell stays free: some terminals break the line there.
        const width = (stderr.columns || 80) - 1;
        stderr.write(`\r${progressLine(run, now, width).slice(0, width)}\x1b[K`);
      },
      done,
    },
  };
}

function widthOf({ isTTY, columns }: Sink): number | undefined {
  // Some terminals say 0: they don't know.
  return isTTY ? columns || undefined : undefined;
}

/**
 * `copy       [#####-----]  52%  1.2 GB of 2.3 GB  610 MB/s  2 s left`: on a narrow terminal the bar gives way first, then
 * what stands at the end.
 */
export function progressLine(run: RunProgress, now: number, width = Number.POSITIVE_INFINITY): string {
  const step = run.steps.find(({ state }) => state === 'running');
  const before = `${(step?.name ?? run.kind).padEnd(10)} `;
  const behind = [` ${String(Math.round(run.percent)).padStart(3)}%`];
  const elapsedMs = now - run.startedAt.getTime();
  if (step?.bytesDone !== undefined) {
    behind.push(
      step.bytesTotal === undefined
        ? sizeText(step.bytesDone)
        : `${sizeText(step.bytesDone)} of ${sizeText(step.bytesTotal)}`,
    );
    // Steps before this one took part of the time, so the speed is a careful one.
    const stepMs = elapsedMs - run.steps.reduce((sum, { ms }) => sum + (ms ?? 0), 0);
    if (stepMs > 0) behind.push(`${sizeText((step.bytesDone / stepMs) * 1_000)}/s`);
  }
  if (run.percent > 0 && run.percent < 100 && elapsedMs > 1_000)
    behind.push(`${durationText((elapsedMs / run.percent) * (100 - run.percent))} left`);
  const cellsBeside = () => width - before.length - behind.join('  ').length - BRACKETS;
  while (behind.length > 1 && cellsBeside() < BAR_CELLS_MIN) behind.pop();
  const cells = Math.max(BAR_CELLS_MIN, Math.min(BAR_CELLS, cellsBeside()));
  const filled = Math.round((Math.min(100, Math.max(0, run.percent)) / 100) * cells);
  return `${before}[${'#'.repeat(filled)}${'-'.repeat(cells - filled)}]${behind.join('  ')}`;
}

export function sizeText(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${unit === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

/** `3 min 20 s ago`. A moment of the future is told as such: it was made before the clock went back. */
export function agoText(moment: Date, now: Date): string {
  const ms = now.getTime() - moment.getTime();
  return ms < -CLOCK_SLACK_MS ? `${durationText(-ms)} in the future` : `${durationText(ms)} ago`;
}

/** `4 min`, `3 h`, `12 days`: short enough for a column. */
function ageText(moment: Date, now: Date): string {
  const minutes = Math.round((now.getTime() - moment.getTime()) / 60_000);
  if (minutes < 1) return agoText(moment, now).replace(/ ago$/, '');
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

/** Clocks of two processes, or of a server and this machine, differ by so much. */
const CLOCK_SLACK_MS = 5_000;

/** Never negative. */
export function durationText(ms: number): string {
  // A moment of the future has no age yet.
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function backupTable(
  backups: readonly BackupItem[],
  { now, ...options }: TableOptions & { readonly now: Date },
): string {
  const rows = backups.map((backup) => [
    backup.filename,
    ageText(backup.createdAt, now),
    sizeText(backup.size),
    stateText(backup),
    backup.placements.map(placementText).join(', '),
    [
      backup.loss && (backup.loss.accepted ? 'loss (accepted)' : 'LOSS'),
      backup.other && `of ${backup.other.name}`,
      backup.foreign && 'foreign',
      backup.pinned && 'pinned',
      backup.safety && 'safety',
      backup.note,
    ]
      .filter(Boolean)
      .join(', '),
    rowsText(backup),
  ]);
  return table(['BACKUP', 'AGE', 'SIZE', 'STATE', 'STORED AT', 'REMARKS', 'ROWS'], rows, options);
}

function stateText({ verification }: BackupItem): string {
  const isChanged = verification.state === 'unchecked' && verification.changedAt !== undefined;
  return isChanged ? 'changed' : verification.state;
}

function placementText(placement: BackupItem['placements'][number]): string {
  const { target, status } = placement;
  if (status !== 'stored') return `${target} ${status}`;
  const { sealing = 'plain', archive } = placement;
  const how = [
    ...(sealing === 'plain' ? [] : [sealing]),
    ...(archive ? [`${archive.storageClass}, ${archive.takes}`] : []),
  ];
  return how.length === 0 ? target : `${target} (${how.join('; ')})`;
}
