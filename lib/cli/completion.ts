/**
 * Scripts that complete the command line, for shells to load: made of what the commands say of themselves, so that
 * nothing is run on each press of the key but the shell.
 */

import type { Argument, Command, Option } from "commander";
import { shippedProfiles } from "../backend/software/shipped-profiles.ts";

/** The shells that there is a script for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** One of them. */
export type Shell = (typeof SHELLS)[number];

/** The kinds of words. */
type Kind = "choice" | "profile" | "file" | "directory" | "device" | "any-device" | "domain" | "text";

/** The meaning of the names of arguments, as help shows them. */
const KINDS: Readonly<Record<string, Kind>> = {
  file: "file",
  "name|file": "profile",
  before: "file",
  after: "file",
  socket: "file",
  directory: "directory",
  bdf: "device",
  domain: "domain",
};

/** Shell commands that print what can be given. */
const SOURCES = {
  // Addresses have a dot, and the other files there none. A colon would end what zsh takes for the command.
  device: "command ls /sys/bus/pci/drivers/vfio-pci 2>/dev/null | command grep -F .",
  "any-device": "command ls /sys/bus/pci/devices 2>/dev/null",
  domain: "virsh list --name 2>/dev/null",
} as const;

interface Value {
  readonly kind: Kind;
  readonly choices: readonly string[];
}

interface Flag {
  /** "--json" */
  readonly name: string;
  readonly description: string;
  /** The kind of word after it; undefined: none. */
  readonly value: Value | undefined;
  /** Whether several may come after it. */
  readonly variadic: boolean;
}

interface Words {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly Flag[];
  /** Undefined: it takes none. */
  readonly argument: Value | undefined;
}

/** The script for a shell. */
export function formatCompletion(program: Command, shell: Shell): string {
  const help = program.createHelp();
  const commands = help.visibleCommands(program);
  const names = commands.map((command) => command.name());
  const words = commands.map((command): Words => {
    const [argument] = command.registeredArguments;
    return {
      name: command.name(),
      summary: command.summary() || command.description(),
      flags: help.visibleOptions(command).map(describeFlag),
      argument:
        argument === undefined
          ? undefined
          : describeValue(
              argument.name(),
              argument.name() === "command" ? { argChoices: names } : argument,
              // Devices for doctor are usually not bound yet.
              command.name() === "doctor" ? "any-device" : undefined,
            ),
    };
  });
  return { bash: formatBash, zsh: formatZsh, fish: formatFish }[shell](program.name(), words);
}

function describeFlag(option: Option): Flag {
  const [, argumentName] = /[<[](.*?)(?:\.\.\.)?[>\]]$/.exec(option.flags) ?? [];
  return {
    name: option.long ?? option.flags,
    description: option.description,
    variadic: option.variadic,
    value: argumentName === undefined ? undefined : describeValue(argumentName, option),
  };
}

function describeValue(
  name: string,
  { argChoices: choices }: Pick<Argument | Option, "argChoices">,
  kind: Kind = KINDS[name] ?? "text",
): Value {
  if (choices !== undefined) return { kind: "choice", choices };
  return { kind, choices: kind === "profile" ? shippedProfiles() : [] };
}

function formatBash(program: string, commands: readonly Words[]): string {
  const reply = ({ kind, choices }: Value): string =>
    ({
      choice: `_${program}_words ${choices.join(" ")}`,
      profile: `_${program}_files -f; _${program}_words ${choices.join(" ")}`,
      file: `_${program}_files -f`,
      directory: `_${program}_files -d`,
      device: `_${program}_lines "$(${SOURCES.device})"`,
      "any-device": `_${program}_lines "$(${SOURCES["any-device"]})"`,
      domain: `_${program}_lines "$(${SOURCES.domain})"`,
      text: ":",
    })[kind];
  const cases = commands.flatMap(({ name, flags, argument }) => [
    ...flags.flatMap((flag) => (flag.value ? [`    ${name}:${flag.name}) ${reply(flag.value)} ;;`] : [])),
    `    ${name}:*)
      if [[ $current == -* ]]; then _${program}_words ${flags.map((flag) => flag.name).join(" ")}
      else ${argument === undefined ? ":" : reply(argument)}; fi ;;`,
  ]);
  const several = commands
    .flatMap(({ name, flags }) =>
      flags.filter(({ variadic }) => variadic).map((flag) => `${name}:${flag.name}`),
    )
    .join("|");
  // Words are compared here, and not by compgen -W, which would expand what is in the name of a domain.
  return `# Completes ${program} in bash: eval "$(${program} completion bash)"
_${program}_words() {
  # bash splits words at colons, as in PCI addresses: what is before the last is there already.
  local word before=\${current%"\${current##*:}"}
  for word; do
    if [[ $word == "$current"* ]]; then COMPREPLY+=("\${word#"$before"}"); fi
  done
}
_${program}_lines() {
  local -a lines
  mapfile -t lines <<<"$1"
  if [[ -n $1 ]]; then _${program}_words "\${lines[@]}"; fi
}
_${program}_files() {
  local -a files
  compopt -o filenames 2>/dev/null
  mapfile -t files < <(compgen "$1" -- "$current")
  _${program}_words "\${files[@]}"
}
_${program}() {
  local current previous command=
  local -a words
  IFS=$' \\t\\n' read -ra words <<<"\${COMP_LINE:0:COMP_POINT}x"
  current=\${words[-1]%x} previous=\${words[-2]}
  if [[ \${#words[@]} -gt 2 ]]; then command=\${words[1]}; fi
  # An option that takes several values still does, behind the first.
  local index=$((\${#words[@]} - 2))
  while [[ $index -gt 1 && \${words[index]} != -* ]]; do index=$((index - 1)); done
  case $command:\${words[index]} in ${several}) previous=\${words[index]} ;; esac
  COMPREPLY=()
  case $command:$previous in
    :*) _${program}_words ${commands.map(({ name }) => name).join(" ")} --help --version ;;
${cases.join("\n")}
  esac
}
complete -F _${program} ${program}
`;
}

function formatZsh(program: string, commands: readonly Words[]): string {
  const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  /** Within a specification brackets and colons have a meaning. */
  const literal = (text: string) => text.replaceAll(/[[\]:\\]/g, "\\$&");
  const action = ({ kind, choices }: Value): string =>
    ({
      choice: `(${choices.join(" ")})`,
      profile: `{compadd -- ${choices.join(" ")}; _files}`,
      file: "_files",
      directory: "_files -/",
      device: `{compadd -- \${(f)"$(${SOURCES.device})"}}`,
      "any-device": `{compadd -- \${(f)"$(${SOURCES["any-device"]})"}}`,
      domain: `{compadd -- \${(f)"$(${SOURCES.domain})"}}`,
      text: " ",
    })[kind];
  const cases = commands.map(({ name, flags, argument }) => {
    const specs = [
      ...flags.map(
        ({ name, description, value }) =>
          `${name}[${literal(description)}]${value === undefined ? "" : `: :${action(value)}`}`,
      ),
      ...(argument === undefined ? [] : [`*: :${action(argument)}`]),
    ];
    return `        ${name}) _arguments ${specs.map(quote).join(" ")} ;;`;
  });
  return `#compdef ${program}
# Completes ${program} in zsh: source <(${program} completion zsh)
_${program}() {
  local line state
  _arguments -C '(- *)--help[display help]' '(- *)--version[print the version]' '1: :->command' '*:: :->words'
  case $state in
    command)
      local -a commands=(${commands.map(({ name, summary }) => quote(`${name}:${summary}`)).join(" ")})
      _describe command commands ;;
    words)
      case $line[1] in
${cases.join("\n")}
      esac ;;
  esac
}
if [ "$funcstack[1]" = _${program} ]; then _${program} "$@"; else compdef _${program} ${program}; fi
`;
}

function formatFish(program: string, commands: readonly Words[]): string {
  const quote = (text: string) => `'${text.replaceAll(/['\\]/g, "\\$&")}'`;
  const values = ({ kind, choices }: Value): string =>
    ({
      choice: `-x -a ${quote(choices.join(" "))}`,
      profile: `-r -F -a ${quote(choices.join(" "))}`,
      file: "-r -F",
      directory: "-x -a '(__fish_complete_directories)'",
      device: `-x -a ${quote(`(${SOURCES.device})`)}`,
      "any-device": `-x -a ${quote(`(${SOURCES["any-device"]})`)}`,
      domain: `-x -a ${quote(`(${SOURCES.domain})`)}`,
      text: "-x",
    })[kind];
  const lines = commands.flatMap(({ name, summary, flags, argument }) => {
    const seen = `complete -c ${program} -n '__fish_seen_subcommand_from ${name}'`;
    return [
      `complete -c ${program} -n __fish_use_subcommand -a ${name} -d ${quote(summary)}`,
      ...flags.map(
        ({ name, description, value }) =>
          `${seen} -l ${name.slice(2)} -d ${quote(description)}${value === undefined ? "" : ` ${values(value)}`}`,
      ),
      ...(argument === undefined ? [] : [`${seen} ${argument.kind === "file" ? "-F" : values(argument)}`]),
    ];
  });
  return `# Completes ${program} in fish: ${program} completion fish | source
complete -c ${program} -f
complete -c ${program} -n __fish_use_subcommand -l version -d 'print the version'
${lines.join("\n")}
`;
}
