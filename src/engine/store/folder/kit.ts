/** What the recovery kit says of a folder: `cp` gets a backup out of it. */
import { join } from 'node:path';
import { shellWord as quoted } from '../../../words/visible-text.ts';
import { type KitNamed, type KitPart, type KitStep, shell } from '../kit.ts';
import type { FolderAccess } from './access.ts';

export const folderKit: KitPart<FolderAccess> = {
  program: null,

  needs: (targets) =>
    targets.map(({ name, access }) => `- For the copies on ${name}: the disk that was mounted at ${access.path}.`),

  fetching: fromFolder,

  stream({ access, prefix }) {
    const folder = join(access.path, prefix, 'continuous');
    return {
      copying: `cp -Rp ${quoted(folder)} .`,
      level: 'ltx/',
      replica: `{ type: file, path: ${JSON.stringify(folder)} }`,
    };
  },

  otherClients: () => null,
};

function fromFolder({ name, access, prefix }: KitNamed<FolderAccess>, { heading, isSealed, isOurs }: KitStep): string {
  const folder = join(access.path, prefix);
  return `${heading}

Mount the disk of ${name}, and set \`there\` to where the folder is now if that is another place than it was:

${shell(`there=${quoted(folder)}`)}

The newest of this database that is no safety copy and passed its check${isSealed ? ', and is encrypted, as copies there are now' : ''}. For another
one, set \`name\` by hand, without .json, and copy that manifest:

${shell(`name=
for manifest in $(ls -r "$there" | grep '^backup-[0-9T-]*Z\\.sqlite\\.json$'); do
  cp "$there/$manifest" . || continue
  if ! grep -q '"trigger": "safety"' "$manifest" && grep -q '"complaint": null' "$manifest"${isOurs}${
    isSealed ? ` &&\n    grep -q '"encryption": "age"' "$manifest"` : ''
  }; then
    name=\${manifest%.json}; break
  fi
done
echo "\${name:-None of them will do; look into $there}"`)}

Its file, and whether it is what was stored (the digest is in the manifest):

${shell(`file=$(sed -n '/"artifact"/,/}/s/^ *"file": "\\(.*\\)",*$/\\1/p' "$name.json")
case "$file" in
  "$name" | "$name.zst" | "$name.age" | "$name.zst.age") cp "$there/$file" . ;;
  *) echo "$name.json names a file that is none of this backup: take another one"; file=none ;;
esac
echo "$(sed -n '/"artifact"/,/}/s/.*"sha256": "\\([0-9a-f]*\\)".*/\\1/p' "$name.json")  $file" | sha256sum -c`)}`;
}
