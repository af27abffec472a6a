import { spawnSync } from 'node:child_process';

/** The processes of ours that this one has started, such as the one that captures. */
export function workers(): readonly number[] {
  const listed = spawnSync('ps', ['-A', '-o', 'ppid=,pid=,args=']).stdout.toString().trim().split('\n');
  return listed.flatMap((line) => {
    const [parent, pid] = line.trim().split(/\s+/);
    return Number(parent) === process.pid && /job-main|job\.js/.test(line) ? Number(pid) : [];
  });
}
