/** What makes a shell ask `croft complete` at each Tab. The scripts know no command, so they are never stale. */
export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** A first line `:files` says that file names are meant; a tab parts a value from the words about it. */
export const scripts: Readonly<Record<Shell, string>> = {
  bash: `# croft for bash: eval "$(croft completion bash)"
_croft() {
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
complete -F _croft croft
`,
  zsh: `#compdef croft
# croft for zsh, after compinit: eval "$(croft completion zsh)"
_croft() {
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
  _describe croft values
}
compdef _croft croft
`,
  fish: `# croft for fish: croft completion fish | source
function __croft_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines ($words[1] complete -- $words[2..-1] 2>/dev/null)
    if test "$lines[1]" = :files
        __fish_complete_path (commandline -ct)
    else if set -q lines[1]
        printf '%s\\n' $lines
    end
end
complete -c croft -f -a '(__croft_complete)'
`,
};
