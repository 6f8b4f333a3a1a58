"""The names under which tools keep ids, prompts and texts, the commonest first."""

ID_FIELDS = (
    "task_id",
    "id",
    "key",
    "question_id",
    "problem_id",
    "custom_id",
    "sample_id",
    "name",
    "idx",
    "index",
    "doc_id",
)
PROMPT_FIELDS = ("prompt", "question", "problem", "instruction", "text", "query", "input")
TEXT_FIELDS = (
    "completion",
    "response",
    "output",
    "generation",
    "answer",
    "prediction",
    "solution",
    "generated_text",
    "text",
)
RARE_TEXT_FIELDS = (
    "model_output",
    "model_response",
    "completions",
    "responses",
    "outputs",
    "generations",
    "predictions",
    "resps",
)
KNOWN = {*ID_FIELDS, *PROMPT_FIELDS, *TEXT_FIELDS, *RARE_TEXT_FIELDS}
"""Every name that makes an object look like a record."""
