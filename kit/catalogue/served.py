"""The strict type of a model that a server answers for: how it is reached, how fast, and what it may cost."""

import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from kit.reading.documents import Strict
from kit.reading.places import is_this_machine, server_address_fault
from kit.reading.values import Tokens

VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,98}")
"""Name of an environment variable, as a manifest takes it."""
KEY_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,94}_KEY")
"""Name of an environment variable that holds a key; workers that ask no server get none of such a name."""
Price = Field(default=None, ge=0, le=1_000_000)


class Served(Strict):
    """A model that a server answers for, by the OpenAI API: a server of vLLM's, OpenAI's own, Azure's, or another."""

    model: str = Field(min_length=1, max_length=200)
    """Name of the model, as the server knows it; replies are stored under it, whichever server gave them."""
    base_url: str = Field(default="", max_length=2000)
    """Address of the API, up to and with ``/v1``; for Azure that of the resource, without a path."""
    base_url_from: str = Field(default="", max_length=100)
    """Name of the environment variable that holds the address, in place of ``base_url``."""
    azure_api_version: str = Field(default="", pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?)?$")
    """Version of Azure's API, ``2024-10-21``; empty for every other server."""
    deployment: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,99})?$")
    """Name of Azure's deployment, where it is not the model's."""
    key_from: str = ""
    """NAME of the environment variable that holds the key, ending in ``_KEY``; empty where the server wants none."""
    in_flight: int = Field(default=4, ge=1, le=256)
    """Most requests at a time."""
    per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    """Most requests within any 60 seconds; without it there is no limit."""
    timeout_s: float = Field(default=120.0, gt=0, le=3600)
    """Seconds that the server may be silent, and that a reply may take once it has begun."""
    retries: int = Field(default=6, ge=0, le=20)
    """Most times that a request is sent again after a failure that may pass."""
    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Field of the API that limits a reply; newer models of OpenAI's take the second alone."""
    price_in: float | None = Price
    """Price of a million tokens of questions, in the currency of ``budget_money``."""
    price_out: float | None = Price
    """Price of a million tokens of replies."""
    budget_tokens: Tokens | None = None
    """Most tokens, of questions and replies, that one store may ever spend at this server."""
    budget_money: float | None = Field(default=None, gt=0, le=1_000_000)
    """Most money that one store may ever spend at this server."""
    partial: bool = False
    """Whether a job begins whose questions may cost more than is left, and stops where the budget ends."""
    note: str = ""

    @property
    def has_budget(self) -> bool:
        """Tell whether tokens or money are limited."""
        return self.budget_tokens is not None or self.budget_money is not None

    @model_validator(mode="after")
    def _check(self) -> Self:
        # Faults of the whole table: messages of single fields show what was found, and that may be a key.
        for fault in (self._key_fault(), self._address_fault(), self._azure_fault(), self._budget_fault()):
            if fault:
                raise ValueError(fault)
        return self

    def _key_fault(self) -> str | None:
        if self.key_from and not KEY_VARIABLE.fullmatch(self.key_from):
            return (
                "key_from: wanted the NAME of an environment variable, in capital letters and ending in _KEY, such as "
                "OPENAI_API_KEY; the key itself stands in no file"
            )
        return None

    def _address_fault(self) -> str | None:
        if bool(self.base_url) == bool(self.base_url_from):
            return f"wanted one of base_url, base_url_from; found {'both' if self.base_url else 'none'}"
        if not self.base_url and (
            not VARIABLE.fullmatch(self.base_url_from) or KEY_VARIABLE.fullmatch(self.base_url_from)
        ):
            return (
                "base_url_from: wanted the NAME of an environment variable, in capital letters and not ending in "
                "_KEY, such as JUDGE_URL"
            )
        if self.base_url and (fault := self.fault_of_address(self.base_url)):
            return f"base_url: {fault}"
        return None

    def _azure_fault(self) -> str | None:
        if self.deployment and not self.azure_api_version:
            return "deployment: it is Azure's; give azure_api_version too"
        if self.azure_api_version and not self.key_from:
            return "azure_api_version: Azure wants a key; give key_from"
        return None

    def _budget_fault(self) -> str | None:
        given = {name: getattr(self, name) is not None for name in ("price_in", "price_out", "budget_money")}
        if any(given.values()) and not all(given.values()):
            missing = ", ".join(name for name, there in given.items() if not there)
            return f"price_in, price_out and budget_money belong together; missing: {missing}"
        if self.partial and not self.has_budget:
            return "partial = true goes with a budget; give budget_tokens, or budget_money and prices"
        return None

    def fault_of_address(self, address: str) -> str | None:
        """Return what is wrong with an address to which this table's questions and key would be sent; None if nothing.

        Args:
            address: that of ``base_url``, or of the variable ``base_url_from``.
        """
        if fault := server_address_fault(address):
            return fault
        if is_this_machine(urlsplit(address).hostname or ""):
            return None
        if self.key_from and urlsplit(address).scheme == "http":
            return (
                "wanted https://, as the key would cross the network for all to read; http:// with a key goes to "
                "this machine alone"
            )
        if not self.has_budget:
            return "a server elsewhere wants a budget: give budget_tokens, or budget_money with price_in and price_out"
        return None
