/** What each kind of target says in the recovery kit. Its commands are for a POSIX shell and follow each other in one. */

export interface KitPart<Access> {
  /** Programs that are needed to reach it; null for none beside those of every system. */
  readonly program: string | null;
  /** What else is needed, for all targets of this kind. */
  needs(targets: readonly KitNamed<Access>[]): readonly string[];
  /** Leaves the newest good backup in `$file`, its manifest in `$name.json`. */
  fetching(target: KitNamed<Access>, options: KitStep): string;
  /** How the captured commits are copied to `continuous`, and what Litestream takes where they are not encrypted. */
  stream(target: KitNamed<Access>): StreamStep;
  /** Commands of other programs that do the same; null for none. */
  otherClients(targets: readonly KitNamed<Access>[]): string | null;
}

export interface KitNamed<Access> {
  /** `s3`, or as its owner calls it. */
  readonly name: string;
  readonly access: Access;
  readonly prefix: string;
}

export interface StreamStep {
  /** Copies what lies there to `continuous`. */
  readonly copying: string;
  /** Where each level lies in that copy, before its number in decimal. */
  readonly level: string;
  /** A replica in Litestream's configuration. */
  readonly replica: string;
}

export interface KitStep {
  /** Its heading, with the number of the step. */
  readonly heading: string;
  /** Copies there are encrypted. */
  readonly isSealed: boolean;
  /** A condition of the shell that `$manifest` is of this database, beginning with `&&`; empty if nothing is known. */
  readonly isOurs: string;
}

/** What is run as it stands. */
export function shell(commands: string): string {
  return `\`\`\`sh\n${commands}\n\`\`\``;
}

/** What is read, or filled in first. */
export function plain(text: string): string {
  return `\`\`\`text\n${text}\n\`\`\``;
}
