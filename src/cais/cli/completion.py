"""`cais completion bash|zsh|fish`: the script that makes a shell complete this command's words.

The scripts know nothing of the command: they hand the words to `cais __complete` (complete.py) and show its answers.
"""

from __future__ import annotations

from cais.cli.command import PROGRAM, Command, Invocation
from cais.cli.output import out

_BASH = r"""# bash completion for cais

_cais() {
    local line="${COMP_LINE:0:COMP_POINT}" answer before directive="" IFS=$' \t\n'
    local -a words answers
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    local word="${words[-1]}"
    COMPREPLY=()
    mapfile -t answers < <("${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)
    ((${#answers[@]})) || return 0
    directive="${answers[-1]}"
    unset 'answers[-1]'
    # Bash replaces what stands behind the last of its word breaks, and not the whole word.
    before=""
    [[ $word == *:* && $COMP_WORDBREAKS == *:* ]] && before="${word%"${word##*:}"}"
    [[ $word == *=* && $COMP_WORDBREAKS == *=* ]] && before="${word%"${word##*[=:]}"}"
    for answer in "${answers[@]}"; do
        answer="${answer%%$'\t'*}"
        COMPREPLY+=("${answer#"$before"}")
    done
    case $directive in
        :0) ((${#COMPREPLY[@]})) || compopt -o default ;;
        :2) compopt -o nospace ;;
    esac
}

complete -F _cais cais
"""

_ZSH = r"""#compdef cais

_cais() {
    local -a answers shown
    local answer directive value
    answers=("${(@f)$(${words[1]} __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    directive=${answers[-1]}
    answers[-1]=()
    for answer in "${answers[@]}"; do
        value=${${answer%%$'\t'*}//:/\\:}
        [[ $answer == *$'\t'* ]] && value+=":${answer#*$'\t'}"
        shown+=("$value")
    done
    if [[ $directive == :2 ]]; then
        _describe cais shown -S ''
    else
        _describe cais shown
    fi
    [[ $directive == :0 ]] && _files
    return 0
}

if [[ $funcstack[1] == _cais ]]; then
    _cais "$@"
else
    compdef _cais cais
fi
"""

_FISH = r"""# fish completion for cais

function __cais_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l answers ($words[1] __complete -- $words[2..-1] "$word" 2>/dev/null)
    test (count $answers) -gt 0; or return
    if test "$answers[-1]" = ":0"
        __fish_complete_path "$word"
    end
    set -e answers[-1]
    printf '%s\n' $answers
end

complete -c cais -f -a '(__cais_complete)'
"""

_HELP = """Generate the autocompletion script for the {shell} shell.

To load completions in your current shell session:

	{now}

To load completions for every new session, execute once:

	{always}"""


def _command(shell: str, script: str, now: str, always: str) -> Command:
    def run(_call: Invocation) -> int:
        out(script, end="")
        return 0

    return Command("", "", (), run, 0, 0, long_help=_HELP.format(shell=shell, now=now, always=always))


BASH = _command(
    "bash",
    _BASH,
    f"source <({PROGRAM} completion bash)",
    f"{PROGRAM} completion bash > /etc/bash_completion.d/{PROGRAM}",
)
ZSH = _command(
    "zsh",
    _ZSH,
    f"source <({PROGRAM} completion zsh)",
    f'{PROGRAM} completion zsh > "${{fpath[1]}}/_{PROGRAM}"',
)
FISH = _command(
    "fish",
    _FISH,
    f"{PROGRAM} completion fish | source",
    f"{PROGRAM} completion fish > ~/.config/fish/completions/{PROGRAM}.fish",
)
