"""`llmx extract`: the main job. Declares the options, runs the job, says how it went."""

# Annotations are no strings here: typer would evaluate each, twice, at every start (16 ms).

from typing import Annotated, Any

import typer

from llmx.cli.options import option

__all__ = ["extract"]

Text = str | None
"""Numbers are text, too: `Settings` reads them, so that there is one way to say what is wrong with a value."""


# As long as there are options: typer reads them off this one signature, and their order is that of --help.
def extract(
    context: typer.Context,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT|-", help="Files, folders of text files, or - for stdin."),
    ] = None,
    schema: Annotated[
        Text,
        option(
            "--schema",
            "-s",
            metavar="SPEC",
            help="What to extract: a ready-made name, path.py:Model, module:Model, schema.json, or inline "
            "such as 'name, age int, tone good|bad'.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        option(
            "--model",
            "-m",
            metavar="P/NAME",
            help="openai/…, anthropic/…, local, local//file.gguf, any provider that instructor knows, or an "
            "[endpoint.NAME] of the config file; repeatable: the next one is asked when one is down.",
        ),
    ] = None,
    base_url: Annotated[
        Text,
        option("--base-url", metavar="URL", help="An OpenAI-compatible server (or Anthropic-compatible)."),
    ] = None,
    mode: Annotated[
        Text,
        option(
            "--mode",
            choices="auto json_schema tools json",
            metavar="MODE",
            help="How the schema is sent: auto, json_schema, tools, json. [auto]",
        ),
    ] = None,
    temperature: Annotated[
        Text, option("--temperature", metavar="T", help="0 to 2; not sent by default.")
    ] = None,
    max_output_tokens: Annotated[
        Text,
        option(
            "--max-output-tokens",
            metavar="N",
            help="Cap of one answer; an answer cut by the default cap is asked for once more with twice that. [4096, local 1024]",
        ),
    ] = None,
    key_file: Annotated[
        Text,
        option("--key-file", metavar="PATH", help="A file of lines such as OPENAI_API_KEY=…, mode 0600."),
    ] = None,
    spans: Annotated[
        bool | None,
        option("--spans/--no-spans", help="local: free text fields are copied from the row, word for word."),
    ] = None,
    input: Annotated[
        Text,
        option(
            "--input",
            metavar="COLS",
            help="The columns the model sees, apart by commas. "
            "[all but --key, names that begin with _, and gold]",
        ),
    ] = None,
    prompt: Annotated[
        Text,
        option("--prompt", "-p", metavar="TEXT|@FILE", help="Jinja2 template over the row's columns."),
    ] = None,
    system: Annotated[
        Text,
        option("--system", metavar="TEXT|@FILE", help="System text. [made from the schema's descriptions]"),
    ] = None,
    examples: Annotated[
        Text,
        option("--examples", metavar="FILE", help="Few-shot rows: columns, and the answer under gold."),
    ] = None,
    input_format: Annotated[
        Text,
        option(
            "--input-format",
            choices="jsonl csv tsv parquet text",
            metavar="F",
            help="jsonl, csv, tsv, parquet, text. [by suffix]",
        ),
    ] = None,
    output_format: Annotated[
        Text,
        option(
            "--output-format",
            choices="jsonl csv tsv parquet",
            metavar="F",
            help="jsonl, csv, tsv, parquet. [by suffix]",
        ),
    ] = None,
    limit: Annotated[Text, option("--limit", "-n", metavar="N", help="Only the first N rows.")] = None,
    sample: Annotated[Text, option("--sample", metavar="N", help="N rows at random, in order.")] = None,
    seed: Annotated[Text, option("--seed", metavar="N", help="Of --sample. [0]")] = None,
    max_row_bytes: Annotated[
        Text, option("--max-row-bytes", metavar="SIZE", help="A longer row is an error row. [64MiB]")
    ] = None,
    max_expansion: Annotated[
        Text,
        option(
            "--max-expansion",
            metavar="N",
            help="How many times its size an archive may unpack to, beyond 64 MiB. [200]",
        ),
    ] = None,
    key: Annotated[Text, option("--key", metavar="COL", help="The column that identifies a row.")] = None,
    keep: Annotated[
        Text, option("--keep", metavar="all|none|COLS", help="Input columns kept in the output. [all]")
    ] = None,
    prefix: Annotated[Text, option("--prefix", metavar="P", help="Fields become Pname.")] = None,
    into: Annotated[Text, option("--into", metavar="FIELD", help="The whole object under one field.")] = None,
    explode: Annotated[
        Text,
        option("--explode", metavar="FIELD", help="One output row per element of a list, numbered by _item."),
    ] = None,
    meta: Annotated[
        bool | None, option("--meta/--no-meta", help="Add _llmx: model, source, attempts, cost.")
    ] = None,
    output: Annotated[Text, option("--output", "-o", metavar="PATH|-", help="Where rows go. [-]")] = None,
    errors: Annotated[
        Text,
        option("--errors", metavar="PATH", help="Where failed rows go. [-o out.jsonl: out.errors.jsonl]"),
    ] = None,
    order: Annotated[
        Text, option("--order", choices="input done", metavar="input|done", help="Of the output. [input]")
    ] = None,
    summary: Annotated[
        Text, option("--summary", metavar="PATH", help="Write the run's figures as JSON.")
    ] = None,
    csv_safe: Annotated[
        bool | None,
        option("--csv-safe/--no-csv-safe", help="Quote cells that a spreadsheet would run as formulas."),
    ] = None,
    concurrency: Annotated[
        Text,
        option(
            "--concurrency",
            "-c",
            metavar="N",
            help="Calls in flight at most; 3 until the first answer. [32, more while the server keeps up; local 1]",
        ),
    ] = None,
    rpm: Annotated[
        Text, option("--rpm", metavar="N", help="Requests per minute at most. [what the provider allows]")
    ] = None,
    tpm: Annotated[
        Text, option("--tpm", metavar="N", help="Tokens per minute at most. [what the provider allows]")
    ] = None,
    retries: Annotated[
        Text,
        option(
            "--retries",
            metavar="N",
            help="Of one request after a transient error, over all -m together; 429s are not counted. [5]",
        ),
    ] = None,
    reasks: Annotated[
        Text, option("--reasks", metavar="N", help="Times the model is shown its error. [2]")
    ] = None,
    timeout: Annotated[
        Text,
        option("--timeout", metavar="SECONDS", help="Of one call; retried once, it may be billed. [120]"),
    ] = None,
    spread: Annotated[
        bool | None,
        option(
            "--spread/--no-spread",
            help="Several -m: rows go to whichever has room, not to the first that is up.",
        ),
    ] = None,
    patience: Annotated[
        Text,
        option(
            "--patience",
            metavar="TIME",
            help="How long a provider may be down, or say nothing but 429. [10m]",
        ),
    ] = None,
    max_wait: Annotated[
        Text, option("--max-wait", metavar="TIME", help="The longest Retry-After that is waited for. [10m]")
    ] = None,
    hedge: Annotated[
        bool | None,
        option(
            "--hedge",
            help="Near the end, send a call again that is slower than 99 % of all; both are paid for.",
        ),
    ] = None,
    transport: Annotated[
        Text,
        option(
            "--transport",
            choices="auto sdk",
            metavar="auto|sdk",
            help="sdk: calls go through the provider's SDK, which takes more CPU. [auto: where it must be]",
        ),
    ] = None,
    workers: Annotated[
        Text,
        option(
            "--workers",
            metavar="N",
            help="Processes that share the run, where one core is not enough for its rows; not for -m local. [1]",
        ),
    ] = None,
    max_cost: Annotated[
        Text,
        option(
            "--max-cost",
            metavar="USD",
            help="Never spend more on this output, earlier runs and the worst case of every call included.",
        ),
    ] = None,
    max_tokens: Annotated[
        Text, option("--max-tokens", metavar="N", help="The same in tokens, input and output together.")
    ] = None,
    budget: Annotated[
        Text, option("--budget", metavar="NAME", help="Keep to the [budget.NAME] of the config file, too.")
    ] = None,
    dry_run: Annotated[
        bool | None, option("--dry-run", help="Show the plan and the first request; call nobody.")
    ] = None,
    cache: Annotated[
        Text,
        option(
            "--cache",
            choices="exact semantic off",
            metavar="exact|semantic|off",
            help="Reuse of earlier answers; semantic: those to rows that say the same in nearly the same words, too. [exact]",
        ),
    ] = None,
    similarity: Annotated[
        Text,
        option(
            "--similarity",
            metavar="X",
            help="With --cache semantic: how alike two rows have to be, 0 to 1, beside saying the same. [0.97]",
        ),
    ] = None,
    cache_ttl: Annotated[
        Text, option("--cache-ttl", metavar="TIME", help="How long an answer is kept. [30d]")
    ] = None,
    offline: Annotated[
        bool | None,
        option("--offline", help="Ask nobody: answers come from cache and journal, a row without one fails."),
    ] = None,
    fresh: Annotated[
        bool | None, option("--fresh", help="Start over: do not go on with the earlier run of this output.")
    ] = None,
    state_dir: Annotated[
        Text,
        option("--state-dir", metavar="DIR", help="Where the run is kept. [.llmx beside the output]"),
    ] = None,
    no_store: Annotated[
        bool | None, option("--no-store", help="Keep nothing of the run, which then cannot be resumed.")
    ] = None,
    confirm_above: Annotated[
        Text,
        option(
            "--confirm-above",
            metavar="USD",
            help="Ask before a changed run, on a terminal, when it is to cost more. [5]",
        ),
    ] = None,
    evidence: Annotated[
        bool | None,
        option(
            "--evidence/--no-evidence",
            help="The model quotes the words that each value rests on; adds _evidence, with their places in the row.",
        ),
    ] = None,
    require_evidence: Annotated[
        bool | None,
        option(
            "--require-evidence/--no-require-evidence",
            help="The same, and values whose words are not in the row are refused and asked again.",
        ),
    ] = None,
    votes: Annotated[
        Text,
        option(
            "--votes",
            metavar="N",
            help="Ask N times about each row; each field is what most answers say; adds _confidence. [1]",
        ),
    ] = None,
    logprobs: Annotated[
        bool | None,
        option(
            "--logprobs/--no-logprobs",
            help="Ask how likely the model found what it wrote (OpenAI-compatible servers); adds _confidence.",
        ),
    ] = None,
    cascade: Annotated[
        Text,
        option(
            "--cascade",
            metavar="CHEAP,STRONG",
            help="In place of -m: the strong model is asked only where the cheap one's answer will not do.",
        ),
    ] = None,
    calibration: Annotated[
        Text,
        option(
            "--calibration",
            metavar="FILE",
            help="By `llmx calibrate`: how sure an answer must be for --cascade and --review.",
        ),
    ] = None,
    min_confidence: Annotated[
        Text,
        option(
            "--min-confidence",
            metavar="X",
            help="The same as a number from 0 to 1. [with --votes: all agree]",
        ),
    ] = None,
    review: Annotated[
        Text,
        option(
            "--review",
            metavar="FILE",
            help="The rows that a person should look at: failed, without evidence, or not sure enough.",
        ),
    ] = None,
    max_failures: Annotated[
        Text,
        option("--max-failures", metavar="N|P%", help="Failed rows up to which the exit code is 0. [0]"),
    ] = None,
) -> int:
    """Turn rows into validated, typed rows with a language model.

    Rows go to stdout or -o, everything else to stderr. Every option --some-thing has a variable
    LLMX_SOME_THING and (but --budget) a key some-thing in llmx.toml. Docs: docs/cli.md, exit codes: docs/errors.md.
    """
    from llmx.cli.running import run_command

    given: dict[str, Any] = {name: value for name, value in context.params.items() if value is not None}
    return run_command(given, context)
