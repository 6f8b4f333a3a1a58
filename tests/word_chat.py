"""A chat whose tokens are words, for judges that are asked by the likelihood of labels."""

from typing import Any


class WordChat:
    """Stands in the place of a tokenizer and its template."""

    max_model_len = 512

    def tokenizer(self, text: str, add_special_tokens: bool) -> dict[str, list[str]]:
        """Return the words of a text."""
        return {"input_ids": text.split()}

    def rendered(self, request: Any) -> str:
        """Return the first turn of a request, and a line break."""
        return f"{request.turns[0].content}\n"
