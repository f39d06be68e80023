/** What makes a shell ask `PROGRAM complete` at each Tab. The scripts know no command, so they are never stale. */
export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** A first line `:files` says that file names are meant; a tab parts a value from the words about it. */
export function completionScript(shell: Shell, program: string): string {
  return scripts[shell].replaceAll('PROGRAM', program);
}

const scripts: Readonly<Record<Shell, string>> = {
  bash: `# PROGRAM for bash: eval "$(PROGRAM completion bash)"
_PROGRAM() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    if [ "$line" = :files ]; then
      compopt -o default
      return
    fi
    COMPREPLY+=("\${line%%$'\\t'*}")
  done < <("$1" complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _PROGRAM PROGRAM
`,
  zsh: `#compdef PROGRAM
# PROGRAM for zsh, after compinit: eval "$(PROGRAM completion zsh)"
_PROGRAM() {
  local line
  local -a lines values
  lines=("\${(@f)$("$words[1]" complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ $lines[1] == :files ]]; then
    _files
    return
  fi
  for line in $lines; do
    values+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  _describe PROGRAM values
}
compdef _PROGRAM PROGRAM
`,
  fish: `# PROGRAM for fish: PROGRAM completion fish | source
function __PROGRAM_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines ($words[1] complete -- $words[2..-1] 2>/dev/null)
    if test "$lines[1]" = :files
        __fish_complete_path (commandline -ct)
    else if set -q lines[1]
        printf '%s\\n' $lines
    end
end
complete -c PROGRAM -f -a '(__PROGRAM_complete)'
`,
};
