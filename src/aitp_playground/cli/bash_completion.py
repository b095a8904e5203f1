"""What bash is told to complete with: click's own cannot complete behind a character at which readline breaks words,
as in ``pack/scenario@1`` and ``--input=``."""

from __future__ import annotations

import os

from click.shell_completion import BashComplete, add_completion_class, split_arg_string

_SOURCE = r"""
%(complete_func)s() {
    local IFS=$'\n' response completion type value word begun breaks
    local line=${COMP_LINE:0:COMP_POINT}

    # The word as it was typed, and the part of it that readline does not replace: up to a sign at which it breaks
    # words, which belongs to what follows when it is an @.
    word=${line##*[[:space:]]}
    breaks=${COMP_WORDBREAKS//[!@:=]/}
    begun=
    if [[ -n $breaks ]]; then
        begun=${word%%"${word##*[$breaks]}"}
        begun=${begun%%@}
    fi

    response=$(env COMP_WORDS="$line" %(complete_var)s=bash_complete $1)

    for completion in $response; do
        IFS=',' read type value <<< "$completion"

        if [[ $type == 'dir' ]]; then
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            COMPREPLY+=("${value#"$begun"}")
        fi
    done

    return 0
}

%(complete_func)s_setup() {
    complete -o nosort -F %(complete_func)s %(prog_name)s
}

%(complete_func)s_setup;
"""


class _Bash(BashComplete):
    source_template = _SOURCE

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is completed, and what there is of it."""
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        incomplete = words.pop() if words and not line[-1:].isspace() else ""
        return words[1:], incomplete


def register() -> None:
    """In place of click's own, before the command line is completed."""
    add_completion_class(_Bash)
