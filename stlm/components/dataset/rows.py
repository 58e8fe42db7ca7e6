"""The options by which a row becomes a document, which all data sets of rows have in common."""

from typing import Any

from stlm.registry import not_empty, option, rule, section


@section
class Rows:
    """Which column of a row is its text, or the templates that are filled in from it."""

    text_column: str = option(not_empty, default="text", doc="The column of a row that holds its text.")
    template: str | None = option(
        default=None,
        doc="What a row becomes, instead of `text_column`: `{column}` stands for a row's value, `{{` for a brace.",
    )
    prompt_template: str | None = option(
        default=None, doc="The prompt that a row becomes, written like `template`; `completion_template` follows it."
    )
    completion_template: str | None = option(
        default=None,
        doc="What should follow the prompt, written like `template`; `loss_on: completion` learns from it alone.",
    )

    @rule("template")
    def a_template_can_be_filled_in(template: str | None) -> str | None:
        """`template` names columns in braces, and nothing else stands in them."""
        from stlm.data.sources.template import mistake_in

        return mistake_in("template", template)

    @rule("prompt_template")
    def a_prompt_can_be_filled_in(prompt_template: str | None) -> str | None:
        """What stands in the braces of `prompt_template` is a column; it may be a text that is always the same."""
        from stlm.data.sources.template import mistake_in

        return mistake_in("prompt_template", prompt_template, may_be_constant=True)

    @rule("completion_template")
    def a_completion_can_be_filled_in(completion_template: str | None) -> str | None:
        """`completion_template` names columns in braces, and nothing else stands in them."""
        from stlm.data.sources.template import mistake_in

        return mistake_in("completion_template", completion_template)

    @rule("prompt_template", "completion_template")
    def a_prompt_has_a_completion(prompt_template: str | None, completion_template: str | None) -> str | None:
        """`prompt_template` and `completion_template` are both there, or neither is."""
        if (prompt_template is None) == (completion_template is None):
            return None
        given, missing = "prompt_template", "completion_template"
        if prompt_template is None:
            given, missing = missing, given
        return f"`{given}` is there without `{missing}`: a document of a prompt and its completion needs both"

    @rule("template", "prompt_template", "completion_template")
    def a_row_becomes_one_thing(
        template: str | None, prompt_template: str | None, completion_template: str | None
    ) -> str | None:
        """`template` does not stand beside `prompt_template` and `completion_template`."""
        if template is None or (prompt_template is None and completion_template is None):
            return None
        return "`template` makes one text of a row, `prompt_template` and `completion_template` two; leave one out"

    @rule("text_column", "template", "prompt_template")
    def a_template_names_its_columns(text_column: str, template: str | None, prompt_template: str | None) -> str | None:
        """`text_column` is left out where a template says what a row becomes."""
        if text_column == "text" or (template is None and prompt_template is None):
            return None
        return f"`text_column` is `{text_column}`, but a template says what a row becomes; leave one of them out"

    def reader(self) -> Any:
        """Make the `RowReader` that turns rows into documents."""
        from stlm.data.sources.rows import RowReader

        return RowReader(self.text_column, self.template, self.prompt_template, self.completion_template)
