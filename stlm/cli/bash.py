"""Completion for bash, which takes a word apart at each `=` and puts a space behind what it completes."""

from click.shell_completion import BashComplete, CompletionItem, add_completion_class

_OFFER = "COMPREPLY+=($value)"
_WITHOUT_SPACE = f"{_OFFER}\n            if [[ $value == *= ]]; then compopt -o nospace; fi"


class Bash(BashComplete):
    """What click has for bash, and settings such as ``--set model.hidden_dim=64`` beside."""

    source_template = BashComplete.source_template.replace(_OFFER, _WITHOUT_SPACE)

    def get_completion_args(self) -> tuple[list[str], str]:
        """Put the words together again that were one."""
        args, begun = super().get_completion_args()
        whole: list[str] = []
        for word in (*args, begun):
            if whole and (word == "=" or whole[-1].endswith("=")):
                whole[-1] += word
            else:
                whole.append(word)
        return whole[:-1], whole[-1]

    def format_completion(self, item: CompletionItem) -> str:
        """Offer what stands behind a `=` alone, for that is the word that bash completes."""
        _, _, value = item.value.partition("=")
        return f"{item.type},{value or item.value}"


def register() -> None:
    """Let click take it for bash."""
    add_completion_class(Bash)
