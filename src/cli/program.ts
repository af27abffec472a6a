/**
 * The command line: one command per verb of the service. `runCli` takes everything from outside that it touches, so
 * that tests hand in their own, and answers the exit code:
 *
 * 0 done · 1 failed · 2 wrong use or configuration · 3 no such backup · 4 verification failed · 5 stored locally but
 * not at every target · 130 interrupted. What `status` answers is in `statusExitCode`.
 */
import { Command, CommanderError, Option } from 'commander';
import { readFileSync } from 'node:fs';
import { visibleText } from '../words/visible-text.ts';
import { exitCodes, exitWords } from './exit-codes.ts';
import { createOutput } from './output.ts';
import { type CliContext, type CliPlaces, wrongUse } from './session.ts';
import { about, examplesText, globalOptions, type Verb, verbs } from './text/help.ts';
import { addVerbs } from './verbs.ts';
import { fail, runWithService } from './with-service.ts';

/** `argv` without the program's name. */
export async function runCli(argv: readonly string[], context: CliContext): Promise<number> {
  const global = { json: argv.includes('--json'), quiet: argv.includes('--quiet') };
  const output = createOutput({
    stdout: context.stdout,
    stderr: context.stderr,
    color: context.color,
    ...global,
  });
  let exitCode: number = exitCodes.done;

  const program = describeProgram(context, global.json);
  const places = (): CliPlaces => ({
    configPath: program.opts()['config'],
    databasePath: program.opts()['database'],
    backupsPath: program.opts()['backups'],
  });
  addVerbs({
    ...{ program, context, output, places, version: packageVersion() },
    verb: (name) => addVerb(program, name),
    run: async (work, onMany, given = places()) => {
      exitCode = await runWithService(work, given, context, output, onMany);
    },
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      if (thrown.exitCode === 0) return exitCodes.done;
      if (global.json) output.error(wrongUse(thrown.message.replace(/^error: /, '')));
      return exitCodes.wrongUse;
    }
    return fail(thrown, context, output);
  }
}

function describeProgram({ stdout, stderr }: CliContext, json: boolean): Command {
  const program = new Command('velist-backup')
    .description(about)
    .version(packageVersion(), '-v, --version', 'show the version')
    .helpOption('-h, --help', 'show this help')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      'after',
      `\nExit codes:\n${exitWords.map(([code, what]) => `  ${String(code).padEnd(4)} ${what}`).join('\n')}`,
    )
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void (json || stderr.write(visibleText(text))),
    })
    .showSuggestionAfterError();
  for (const { flags, what } of globalOptions) program.option(flags, what);
  return program;
}

/** Global options are also taken behind the verb, as people type them. */
function addVerb(program: Command, name: Verb): Command {
  const { usage, what, ...more } = verbs[name];
  const made = program.command(usage).description(what).helpOption('-h, --help', 'show this help');
  made.addHelpText('after', examplesText(name));
  for (const option of 'options' in more ? more.options : []) {
    const excluded = 'conflicts' in option ? option.conflicts : [];
    const isHidden = 'isHidden' in option && option.isHidden;
    const added = new Option(option.flags, option.what).conflicts([...excluded]).hideHelp(isHidden);
    made.addOption('choices' in option ? added.choices(option.choices) : added);
  }
  for (const option of program.options.filter(({ long }) => long !== '--version')) {
    made.addOption(new Option(option.flags, option.description).hideHelp());
    made.on(`option:${option.attributeName()}`, (value: string | null) =>
      program.setOptionValue(option.attributeName(), value ?? true),
    );
  }
  return made;
}

/** The package's own, found two folders up from `src/cli` and from `dist/cli`. */
function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version }: { version?: unknown } = JSON.parse(text);
  return String(version);
}
