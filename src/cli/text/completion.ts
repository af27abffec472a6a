/**
 * Completion for bash, zsh and fish, written from the definitions of the program. Names of backups are asked of the
 * program itself when somebody presses the key; they are in the folder that the environment names, and at S3 as it was
 * listed last. A configuration file is not run for them.
 */
import type { DescribedOption, DescribedVerb, describe } from './description.ts';

type Description = ReturnType<typeof describe>;
export type Shell = (typeof shells)[number];

export const shells = ['bash', 'zsh', 'fish'] as const;

const NAMES = 'velist-backup completion --names 2>/dev/null';

export function completionFor(shell: Shell, description: Description): string {
  return { bash, zsh, fish }[shell](description);
}

function bash({ global, verbs }: Description): string {
  return `# bash completion for velist-backup
_velist_backup() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} verb='' i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      ${takingValues(global).join('|')}) ((i++)) ;;
      -*) ;;
      *) verb=\${COMP_WORDS[i]}; break ;;
    esac
  done
  case "$verb $prev" in
${optionValues(description(global, verbs), {
  file: 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return',
  folder: 'compopt -o filenames; COMPREPLY=($(compgen -d -- "$cur")); return',
  words: (words) => `COMPREPLY=($(compgen -W '${words.join(' ')}' -- "$cur")); return`,
  any: 'return',
})}
  esac
  if [[ $cur == -* ]]; then
    case $verb in
${verbs.map(({ name, options }) => `      ${name}) COMPREPLY=($(compgen -W '${longs([...options, ...global])}' -- "$cur")) ;;`).join('\n')}
      *) COMPREPLY=($(compgen -W '${longs(global)}' -- "$cur")) ;;
    esac
    return
  fi
  case $verb in
    '') COMPREPLY=($(compgen -W '${verbs.map(({ name }) => name).join(' ')}' -- "$cur")) ;;
${withArguments(verbs, (words) => `COMPREPLY=($(compgen -W '${words.join(' ')}' -- "$cur"))`, {
  names: `COMPREPLY=($(compgen -W "$(${NAMES})" -- "$cur"))`,
  namesOrFile: `compopt -o filenames; COMPREPLY=($(compgen -W "latest $(${NAMES})" -- "$cur") $(compgen -f -- "$cur"))`,
})}
  esac
}
complete -F _velist_backup velist-backup
`;
}

function zsh({ global, verbs }: Description): string {
  const described = (options: readonly DescribedOption[]) =>
    options.map(({ long, what }) => zshWord(`${long}:${what}`)).join(' ');
  return `#compdef velist-backup
_velist_backup() {
  local verb='' prev=$words[CURRENT-1] i
  local -a found
  for ((i = 2; i < CURRENT; i++)); do
    case $words[i] in
      (${takingValues(global).join('|')}) ((i++)) ;;
      (-*) ;;
      (*) verb=$words[i]; break ;;
    esac
  done
  case "$verb $prev" in
${optionValues(description(global, verbs), {
  file: '_files; return',
  folder: '_files -/; return',
  words: (words) => `compadd -- ${words.join(' ')}; return`,
  any: 'return',
})}
  esac
  if [[ $PREFIX == -* ]]; then
    case $verb in
${verbs.map(({ name, options }) => `      (${name}) found=(${described([...options, ...global])}) ;;`).join('\n')}
      (*) found=(${described(global)}) ;;
    esac
    _describe -o option found
    return
  fi
  case $verb in
    ('') found=(${verbs.map(({ name, what }) => zshWord(`${name}:${what}`)).join(' ')}); _describe verb found ;;
${withArguments(verbs, (words) => `compadd -- ${words.join(' ')}`, {
  names: `compadd -- $(${NAMES})`,
  namesOrFile: `compadd -- latest $(${NAMES}); _files`,
})}
  esac
}
if [[ $funcstack[1] == _velist_backup || $funcstack[1] == _velist-backup ]]; then _velist_backup "$@"
else compdef _velist_backup velist-backup; fi
`;
}

function fish({ global, verbs }: Description): string {
  const line = (condition: string, rest: string) =>
    `complete -c velist-backup${condition === '' ? '' : ` -n '${condition}'`} ${rest}`;
  const option = (condition: string) => (each: DescribedOption) => {
    const value =
      each.choices.length > 0
        ? ` -x -a '${each.choices.join(' ')}'`
        : { nothing: '', 'a file': ' -r -F', 'a folder': " -x -a '(__fish_complete_directories)'", 'a word': ' -x' }[
            each.takes
          ];
    return line(condition, `-l ${each.long.slice(2)}${value} -d ${fishWord(each.what)}`);
  };
  const lines = [
    '# fish completion for velist-backup',
    line('', '-f'),
    ...global.map(option('')),
    ...verbs.map(({ name, what }) => line('__fish_use_subcommand', `-a ${name} -d ${fishWord(what)}`)),
  ];
  for (const verb of verbs) {
    const condition = `__fish_seen_subcommand_from ${verb.name}`;
    lines.push(...verb.options.map(option(condition)));
    const words = wordsOf(verb);
    if (words === 'backups') lines.push(line(condition, `-a '${takesFile(verb) ? 'latest ' : ''}(${NAMES})'`));
    else if (words) lines.push(line(condition, `-a '${words.join(' ')}'`));
    if (takesFile(verb)) lines.push(line(condition, '-F'));
  }
  return `${lines.join('\n')}\n`;
}

// ── what the three have in common ──

type OfVerb = DescribedOption & { readonly verb: string };

/** Each option with its verb; `*` for those of the program. */
function description(global: readonly DescribedOption[], verbs: readonly DescribedVerb[]): readonly OfVerb[] {
  return [
    ...verbs.flatMap(({ name, options }) => options.map((option) => ({ ...option, verb: name }))),
    ...global.map((option) => ({ ...option, verb: '*' })),
  ];
}

function optionValues(
  options: readonly OfVerb[],
  answer: {
    readonly file: string;
    readonly folder: string;
    readonly words: (words: readonly string[]) => string;
    readonly any: string;
  },
): string {
  return options
    .filter(({ takes }) => takes !== 'nothing')
    .map(({ verb, long, takes, choices }) => {
      const values = { nothing: '', 'a file': answer.file, 'a folder': answer.folder, 'a word': answer.any }[takes];
      const pattern = verb === '*' ? `*' ${long}'` : `'${verb} ${long}'`;
      return `    ${pattern}) ${choices.length > 0 ? answer.words(choices) : values} ;;`;
    })
    .join('\n');
}

function withArguments(
  verbs: readonly DescribedVerb[],
  ofWords: (words: readonly string[]) => string,
  ofBackups: { readonly names: string; readonly namesOrFile: string },
): string {
  return verbs
    .flatMap((verb) => {
      const words = wordsOf(verb);
      if (!words) return [];
      const backups = takesFile(verb) ? ofBackups.namesOrFile : ofBackups.names;
      return [`    ${verb.name}) ${words === 'backups' ? backups : ofWords(words)} ;;`];
    })
    .join('\n');
}

function wordsOf({ arguments: [first] }: DescribedVerb) {
  return first?.choices ?? null;
}

/** A backup may be named by the path of any file, but a file that is taken into the catalog lies in the folder. */
function takesFile({ name }: DescribedVerb): boolean {
  return name === 'verify' || name === 'restore';
}

function takingValues(options: readonly DescribedOption[]): readonly string[] {
  return options.filter(({ takes }) => takes !== 'nothing').map(({ long }) => long);
}

function longs(options: readonly DescribedOption[]): string {
  return options.map(({ long }) => long).join(' ');
}

function zshWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function fishWord(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
