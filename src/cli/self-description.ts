/** The verbs that tell of the program itself: completion, manual page, schema. They need no settings and no database. */
import { Argument, Option, type Command } from 'commander';
import { answersSchema } from './json-schemas.ts';
import type { Session } from './session.ts';
import { completionFor, type Shell, shells } from './completion.ts';
import { describe } from './description.ts';
import { type ManOptions, manPage } from './man-page.ts';
import type { Sink } from './output.ts';

export interface SelfDescription extends ManOptions {
  readonly stdout: Sink;
  readonly command: (usage: string, what: string) => Command;
  readonly withoutConfig: (work: (session: Session) => Promise<number>) => Promise<void>;
  readonly wrongUse: (message: string) => Error;
}

export function addSelfDescription(program: Command, options: SelfDescription): void {
  const { stdout, command, withoutConfig, wrongUse } = options;
  command('completion', 'print the completion of a shell: bash, zsh or fish')
    .addArgument(new Argument('[shell]', 'which').choices(shells))
    .addOption(new Option('--names').hideHelp())
    .action(async (shell: Shell | undefined, { names }: { names?: true }) => {
      if (names) return await withoutConfig(printNames);
      if (shell === undefined) throw wrongUse(`say which shell: ${shells.join(', ')}`);
      stdout.write(completionFor(shell, describe(program)));
    });
  command('man', 'print the manual page').action(() => void stdout.write(manPage(describe(program), options)));
  command('schema', 'print the JSON Schema of what --json prints, by verb').action(
    () => void stdout.write(`${JSON.stringify(answersSchema(), null, 2)}\n`),
  );
}

async function printNames({ service, output }: Session): Promise<number> {
  const names = (await service.getBackups()).map(({ filename }) => filename);
  output.answer({ names }, names.join('\n'));
  return 0;
}
