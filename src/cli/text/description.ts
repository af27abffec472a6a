/** The verbs, options and words of the program as data, read from the definitions that parse the command line. */
import type { Argument, Command, Option } from 'commander';

export interface DescribedVerb {
  readonly name: string;
  readonly what: string;
  readonly arguments: readonly { readonly name: string; readonly required: boolean; readonly choices: Choices }[];
  readonly options: readonly DescribedOption[];
}

export interface DescribedOption {
  /** `--to` */
  readonly long: string;
  /** `--to <path>` */
  readonly flags: string;
  readonly what: string;
  readonly takes: 'nothing' | 'a file' | 'a folder' | 'a word';
  readonly choices: readonly string[];
}

/** Null: not from a list. */
type Choices = readonly string[] | 'backups' | null;

export function describe(program: Command): {
  readonly global: readonly DescribedOption[];
  readonly verbs: readonly DescribedVerb[];
} {
  return {
    global: program.createHelp().visibleOptions(program).map(toOption),
    verbs: program.commands.map((command) => ({
      name: command.name(),
      what: command.description(),
      arguments: command.registeredArguments.map((argument) => ({
        name: argument.name(),
        required: argument.required,
        choices: choicesOf(argument),
      })),
      // `--help` is among those of the program.
      options: program
        .createHelp()
        .visibleOptions(command)
        .filter(({ long }) => long !== '--help')
        .map(toOption),
    })),
  };
}

/** Further targets are called as their owner likes. */
const everywhere = ['local', 's3'];

function choicesOf(argument: Argument): Choices {
  if (argument.name() === 'backup') return 'backups';
  return argument.argChoices ?? (argument.name() === 'target' ? everywhere.toReversed() : null);
}

function toOption(option: Option): DescribedOption {
  const { flags, description } = option;
  const { argChoices = flags.endsWith('<target>') ? everywhere : [] } = option;
  const value = /<(.*)>/.exec(flags)?.[1] ?? '';
  const takes = value === 'file' || value === 'path' ? 'a file' : value === 'dir' ? 'a folder' : 'a word';
  return {
    long: option.long ?? flags,
    flags,
    what: description,
    takes: value === '' ? 'nothing' : takes,
    choices: argChoices,
  };
}
