/** The verbs that tell of the program itself: completion, manual page, schema. They need no settings and no database. */
import { Argument, Option, type Command } from 'commander';
import { answersSchema } from '../json-schemas.ts';
import { type Work, wrongUse } from '../session.ts';
import { completionFor, type Shell, shells } from '../text/completion.ts';
import { describe } from '../text/description.ts';
import type { Verb } from '../text/help.ts';
import { manPage } from '../text/man-page.ts';
import type { Sink } from '../output.ts';

interface SelfDescription {
  readonly stdout: Sink;
  readonly version: string;
  readonly verb: (name: Verb) => Command;
  readonly withoutConfig: (work: Work) => Promise<void>;
}

export function addSelfDescription(program: Command, { stdout, version, verb, withoutConfig }: SelfDescription): void {
  verb('completion')
    .addArgument(new Argument('[shell]', 'which').choices(shells))
    .addOption(new Option('--names').hideHelp())
    .action(async (shell: Shell | undefined, { names }: { names?: true }) => {
      if (names) return await withoutConfig(printNames);
      if (shell === undefined) throw wrongUse(`say which shell: ${shells.join(', ')}`);
      stdout.write(completionFor(shell, describe(program)));
    });
  verb('man').action(() => void stdout.write(manPage(describe(program), version)));
  verb('schema').action(() => void stdout.write(`${JSON.stringify(answersSchema(), null, 2)}\n`));
}

const printNames: Work = async ({ service, output }) => {
  const names = (await service.getBackups()).map(({ filename }) => filename);
  output.answer({ names }, names.join('\n'));
  return 0;
};
