"""Pairs of sentences, of which only one is English grammar."""

from typing import Any, ClassVar

from stlm.components.benchmark.hub import HubQuestions
from stlm.components.benchmark.questions import Question, Row
from stlm.registry import component

PARADIGMS = (
    "adjunct_island",
    "anaphor_gender_agreement",
    "anaphor_number_agreement",
    "animate_subject_passive",
    "animate_subject_trans",
    "causative",
    "complex_NP_island",
    "coordinate_structure_constraint_complex_left_branch",
    "coordinate_structure_constraint_object_extraction",
    "determiner_noun_agreement_1",
    "determiner_noun_agreement_2",
    "determiner_noun_agreement_irregular_1",
    "determiner_noun_agreement_irregular_2",
    "determiner_noun_agreement_with_adj_2",
    "determiner_noun_agreement_with_adj_irregular_1",
    "determiner_noun_agreement_with_adj_irregular_2",
    "determiner_noun_agreement_with_adjective_1",
    "distractor_agreement_relational_noun",
    "distractor_agreement_relative_clause",
    "drop_argument",
    "ellipsis_n_bar_1",
    "ellipsis_n_bar_2",
    "existential_there_object_raising",
    "existential_there_quantifiers_1",
    "existential_there_quantifiers_2",
    "existential_there_subject_raising",
    "expletive_it_object_raising",
    "inchoative",
    "intransitive",
    "irregular_past_participle_adjectives",
    "irregular_past_participle_verbs",
    "irregular_plural_subject_verb_agreement_1",
    "irregular_plural_subject_verb_agreement_2",
    "left_branch_island_echo_question",
    "left_branch_island_simple_question",
    "matrix_question_npi_licensor_present",
    "npi_present_1",
    "npi_present_2",
    "only_npi_licensor_present",
    "only_npi_scope",
    "passive_1",
    "passive_2",
    "principle_A_c_command",
    "principle_A_case_1",
    "principle_A_case_2",
    "principle_A_domain_1",
    "principle_A_domain_2",
    "principle_A_domain_3",
    "principle_A_reconstruction",
    "regular_plural_subject_verb_agreement_1",
    "regular_plural_subject_verb_agreement_2",
    "sentential_negation_npi_licensor_present",
    "sentential_negation_npi_scope",
    "sentential_subject_island",
    "superlative_quantifiers_1",
    "superlative_quantifiers_2",
    "tough_vs_raising_1",
    "tough_vs_raising_2",
    "transitive",
    "wh_island",
    "wh_questions_object_gap",
    "wh_questions_subject_gap",
    "wh_questions_subject_gap_long_distance",
    "wh_vs_that_no_gap",
    "wh_vs_that_no_gap_long_distance",
    "wh_vs_that_with_gap",
    "wh_vs_that_with_gap_long_distance",
)
"""In the order of the harness's group."""


@component("benchmark", "blimp")
class BLiMP(HubQuestions):
    """Pairs of sentences that differ in grammar alone (Warstadt et al., 2019; arXiv:1912.00582): `nyu-mll/blimp`.

    As lm-evaluation-harness 0.4.13 asks: nothing stands before a sentence but the token that begins a text, and the
    space that stands between context and choice. The good sentence must be the likelier as a whole. `acc` is the mean
    over the 67 paradigms, each of which counts the same; fewer rows than all 67,000 are drawn evenly from all of them.
    Rows are counted through all paradigms, in the harness's order.
    """

    hub_id: ClassVar[str] = "nyu-mll/blimp"
    configs: ClassVar[tuple[str | None, ...]] = PARADIGMS
    split: ClassVar[str] = "train"
    columns: ClassVar[dict[str, Any]] = {"sentence_good": str, "sentence_bad": str}
    by_group: ClassVar[bool] = True
    group_column: ClassVar[str] = "paradigm"

    def question(self, row: Row) -> Question:
        """Ask for the sentence, behind nothing."""
        return "", (row["sentence_good"], row["sentence_bad"]), 0
