"""The rules of `llmx schema check` about accuracy, each with the evidence for it. Data only.

Where the evidence is thin, mixed or only a provider's advice, `strength` says so: a rule is a question to the author of
a schema, and an evaluation against gold answers is the answer.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

__all__ = ["RULES", "Evidence", "Rule", "Severity", "rule_named"]

Severity = Literal["warning", "note"]
"""A warning is one that `--strict` fails for; a note never is."""


class Evidence(Struct, frozen=True):
    """A paper or a page: its title, year and address."""

    title: str
    year: int
    url: str


class Rule(Struct, frozen=True):
    """One thing about a schema that may lower accuracy.

    Args:
        code: such as R01; it never changes its meaning.
        name: the same in words.
        summary: what is found.
        fix: what to do, in general.
        strength: "good": measured on tasks like this; "mixed": measured, with results both ways or on other tasks;
            "advice": what a provider's documentation says; "weak": reasoning alone.
    """

    code: str
    name: str
    severity: Severity
    summary: str
    fix: str
    strength: Literal["good", "mixed", "advice", "weak"]
    why: str
    evidence: tuple[Evidence, ...] = ()


_TAM = Evidence(
    "Let Me Speak Freely? A Study on the Impact of Format Restrictions on Performance of Large Language Models",
    2024,
    "https://arxiv.org/abs/2408.02442",
)
_DOTTXT = Evidence(
    "Say What You Mean: A Response to 'Let Me Speak Freely'",
    2024,
    "https://blog.dottxt.co/say-what-you-mean.html",
)
_CASTILLO = Evidence(
    "Structured outputs: don't put the cart before the horse",
    2024,
    "https://dylancastillo.co/posts/llm-pydantic-order-matters.html",
)
_OPENAI = Evidence(
    "Structured model outputs (OpenAI documentation)",
    2026,
    "https://developers.openai.com/api/docs/guides/structured-outputs",
)
_OPENAI_TOOLS = Evidence(
    "Function calling (OpenAI documentation)",
    2026,
    "https://developers.openai.com/api/docs/guides/function-calling",
)
_ANTHROPIC = Evidence(
    "Reduce hallucinations (Anthropic documentation)",
    2026,
    "https://platform.claude.com/docs/en/test-and-evaluate/strengthen-guardrails/reduce-hallucinations",
)
_SQUAD = Evidence(
    "Know What You Don't Know: Unanswerable Questions for SQuAD", 2018, "https://arxiv.org/abs/1806.03822"
)
_SLIMER = Evidence(
    "Show Less, Instruct More: Enriching Prompts with Definitions and Guidelines for Zero-Shot NER",
    2024,
    "https://arxiv.org/abs/2407.01272",
)
_GOLLIE = Evidence(
    "GoLLIE: Annotation Guidelines improve Zero-Shot Information-Extraction",
    2023,
    "https://arxiv.org/abs/2310.03668",
)
_EXTRACT = Evidence(
    "ExtractBench: A Benchmark and Evaluation Methodology for Complex Structured Extraction",
    2026,
    "https://arxiv.org/abs/2602.12247",
)
_DEEP = Evidence(
    "DeepJSONEval: Benchmarking Complex Nested JSON Data Mining for Large Language Models",
    2025,
    "https://arxiv.org/abs/2509.25922",
)
_LONG_ICL = Evidence(
    "Long-context LLMs Struggle with Long In-context Learning", 2024, "https://arxiv.org/abs/2404.02060"
)
_OPTION = Evidence(
    "Wait, that's not an option: LLMs Robustness with Incorrect Multiple-Choice Options",
    2024,
    "https://arxiv.org/abs/2409.00113",
)
_NONE_OF = Evidence(
    "None of the Above, Less of the Right: Parallel Patterns between Humans and LLMs on Multi-Choice Questions Answering",
    2025,
    "https://arxiv.org/abs/2503.01550",
)
_NAYSAYERS = Evidence(
    "Language models are not naysayers: An analysis of language models on negation benchmarks",
    2023,
    "https://arxiv.org/abs/2306.08189",
)
_ELEPHANT = Evidence(
    "Negation: A Pink Elephant in the Large Language Models' Room?", 2025, "https://arxiv.org/abs/2503.22395"
)
_UNCERTAINTY = Evidence(
    "Can LLMs Express Their Uncertainty? An Empirical Evaluation of Confidence Elicitation in LLMs",
    2023,
    "https://arxiv.org/abs/2306.13063",
)
_VERBALIZED = Evidence("On Verbalized Confidence Scores for LLMs", 2024, "https://arxiv.org/abs/2412.14737")

RULES = (
    Rule(
        "R01",
        "reasoning-after-answer",
        "warning",
        "a field that explains stands behind what it explains",
        "put it first",
        "mixed",
        "an answer is written from left to right, so an explanation behind it can only justify it; measured gains are "
        "large on reasoning tasks, small or none on plain extraction and with models that reason before they answer",
        (_TAM, _CASTILLO),
    ),
    Rule(
        "R02",
        "vague-name",
        "warning",
        "a name that says nothing, such as data, value or field1; a note where a description makes up for it",
        "name what it holds: invoice_total rather than value",
        "advice",
        "the name is the first thing that the model reads of a field, and it is in every answer",
        (_OPENAI, _OPENAI_TOOLS),
    ),
    Rule(
        "R03",
        "must-invent",
        "warning",
        "a fact that a text may not state is required",
        "let it be null (`T | None = None`), or say in the description that it is always stated",
        "good",
        "a model that must answer answers: models guess where a text holds no answer, and a strict format leaves no other way",
        (_SQUAD, _OPENAI, _ANTHROPIC),
    ),
    Rule(
        "R04",
        "too-wide",
        "warning",
        "over 60 fields in one answer; a note over 30",
        "ask in several runs, each for the fields that belong together",
        "good",
        "accuracy and validity fall with the number of fields, for the best models too",
        (_EXTRACT,),
    ),
    Rule(
        "R05",
        "too-deep",
        "warning",
        "objects within objects, over 5 levels; a note over 3",
        "flatten it: a list of objects with a reference to what they belong to",
        "mixed",
        "models differ much on deeply nested answers; depth and number of fields were not varied apart",
        (_DEEP, _EXTRACT),
    ),
    Rule(
        "R06",
        "choices-undescribed",
        "warning",
        "choices that are codes and explained nowhere; a note for more than 8 choices most of which are not",
        "say in the description what each choice means, and where two of them meet",
        "good",
        "definitions and guidelines of labels raise accuracy, most for labels that a model has not met; many labels lower it",
        (_SLIMER, _GOLLIE, _LONG_ICL),
    ),
    Rule(
        "R07",
        "choices-alike",
        "warning",
        "two choices differ in case, spelling or plural only; a note where they are nearly the same",
        "keep one of them",
        "weak",
        "which of the two is written is chance; we know of no study that isolates it",
    ),
    Rule(
        "R08",
        "no-way-out",
        "note",
        "five or more choices, none of which is for the rest, and null is not allowed",
        "add a choice such as other or let it be null, unless the set is complete",
        "mixed",
        "models choose a wrong option rather than none; yet they choose 'none of these' too rarely where it is offered",
        (_OPTION, _NONE_OF),
    ),
    Rule(
        "R09",
        "negated-boolean",
        "warning",
        "true stands for something that is not so",
        "name the positive: has_receipt rather than no_receipt",
        "mixed",
        "models miss negations; less so the larger they are, and no study of field names is known to us",
        (_NAYSAYERS, _ELEPHANT),
    ),
    Rule(
        "R10",
        "number-as-text",
        "warning",
        "a quantity by its name is asked for as text",
        "make it a number, or say in the description how it is to be written, with its unit",
        "weak",
        "one value then has many spellings ('12', '12.00', 'twelve'), which no evaluation counts as equal",
    ),
    Rule(
        "R11",
        "no-unit",
        "note",
        "a measure or amount without a unit",
        "say the unit in the name or the description: weight_kg, 'in minutes'",
        "weak",
        "the text may have another unit, and the model has to choose; advice of all providers is to leave nothing implicit",
        (_OPENAI_TOOLS,),
    ),
    Rule(
        "R12",
        "no-description",
        "warning",
        "fields without a description",
        "say what each means, in a sentence as for a new colleague",
        "good",
        "definitions raise accuracy, most where a name has several meanings",
        (_SLIMER, _GOLLIE, _OPENAI_TOOLS),
    ),
    Rule(
        "R13",
        "free-keys",
        "warning",
        "a dictionary whose keys the model chooses",
        "name the keys, or use a list of objects with a name and a value",
        "advice",
        "keys differ from row to row, and strict formats refuse it",
        (_OPENAI,),
    ),
    Rule(
        "R14",
        "unchecked",
        "warning",
        "a place that nothing checks: no type, a format that is not known, a type that no answer fits, a schema within itself",
        "give it a type that can be checked",
        "advice",
        "what is not checked is not asked about again when it is wrong",
        (_OPENAI,),
    ),
    Rule(
        "R15",
        "date-as-text",
        "warning",
        "a date by its name is asked for as text",
        "make it a date (`datetime.date`), or say 'as written'",
        "weak",
        "03/04/2026 is two days; a type has one form, and providers enforce it",
    ),
    Rule(
        "R16",
        "no-room-to-reason",
        "note",
        "a result that has to be worked out, with no field for the steps before it",
        "put a field such as reasoning first, or use a model that reasons before it answers",
        "mixed",
        "formats lowered the accuracy of reasoning in one study; another found the opposite with better prompts",
        (_TAM, _DOTTXT),
    ),
    Rule(
        "R17",
        "contradiction",
        "warning",
        "the name and the description say opposite things",
        "mend the one that is wrong",
        "weak",
        "which of the two a model follows is chance",
    ),
    Rule(
        "R18",
        "own-confidence",
        "warning",
        "the model is asked how sure it is of itself",
        "leave it out; compare repeated answers, or measure accuracy against gold",
        "mixed",
        "stated confidence is too high and hardly tells right from wrong; larger models with special prompts do better",
        (_UNCERTAINTY, _VERBALIZED),
    ),
)
"""In the order of their codes."""


def rule_named(name: str) -> Rule | None:
    """The rule with this code or name, in any case; None where there is none."""
    wanted = name.strip().lower()
    return next((rule for rule in RULES if wanted in (rule.code.lower(), rule.name)), None)
