/**
 * The part of the recovery kit for captured commits, which are newer than any backup. With this program it is one command; the
 * files are those of Litestream 0.5, so it restores them too: as they lie there, or once `age` has opened them.
 */
import { type KitNamed, plain } from '../../engine/store/kit.ts';
import type { kitOf, TargetAccess } from '../../engine/store/kinds.ts';
import { targetWord } from '../../words/target-word.ts';
import { shellWord as quoted } from '../../words/visible-text.ts';

interface StreamTarget extends KitNamed<TargetAccess> {
  readonly sealing: { readonly recipients: readonly string[] };
}

export function streamKit(
  targets: readonly StreamTarget[],
  stepOf: ReturnType<typeof kitOf>['stream'],
  backupsPath: string,
): string {
  const parts = targets.map((target) => {
    const isSealed = target.sealing.recipients.length > 0;
    const { copying, level, replica } = stepOf(target);
    const identity = isSealed ? ' --identity ../key.txt' : '';
    const ours = `velist-backup restore latest --from ${target.name}${identity} --to newest.sqlite
velist-backup moments --from ${target.name}${identity}`;
    const other = isSealed ? opened(copying, level) : `${configured(replica)}\n${RESTORING}`;
    return `From ${targetWord(target.name)}, with this program (its settings as in the app; \`moments\` lists what else is there):

${plain(ours)}

Or with Litestream 0.5 or newer${isSealed ? ', once the segments are opened' : ''}:

${plain(other)}`;
  });
  const here = `Where the disk is still there, the same lies in ${backupsPath}/continuous, not encrypted:

${plain(`${configured(`{ type: file, path: ${JSON.stringify(`${backupsPath}/continuous`)} }`)}\n${RESTORING}`)}`;
  return `## Captured commits

Commits are captured one by one and copied as well, so the newest state may be newer than every backup. What comes of
these commands is one SQLite file, \`newest.sqlite\`: check it, and put it in place as in step 4 (\`name=newest.sqlite\`).

${[...parts, here].join('\n\n')}`;
}

const RESTORING = 'litestream restore -config litestream.yml -o newest.sqlite app';

function configured(replica: string): string {
  return `echo ${quoted(`dbs: [{ path: app, replica: ${replica} }]`)} > litestream.yml`;
}

/** Litestream reads files that lie as ours do in a folder: by level in decimal. */
function opened(copying: string, level: string): string {
  return `${copying}
for level in 0 1 2 3 9; do
  mkdir -p opened/ltx/$level
  for file in continuous/${level}$level/*.ltx.age; do
    if [ -e "$file" ]; then age -d -i ../key.txt -o "opened/ltx/$level/$(basename "$file" .age)" "$file"; fi
  done
done
${configured('{ type: file, path: opened }')}
${RESTORING}`;
}
