"""One model that a server answers for, with its name in the manifests, and how a job carries it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kit.catalogue.served import Served
from kit.reading.places import is_this_machine, server_address_fault
from kit.store import canonical


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """One model that a server answers for."""

    name: str
    """Name that a manifest gives it."""
    entry: Served

    def key_params(self) -> dict[str, Any]:
        """Return what a job's key holds of it: the model's name. Where it is asked changes no reply that is kept."""
        return {"model": self.entry.model}

    def to_source(self) -> dict[str, str]:
        """Return it as ``resources["source"]`` of a job has it: it is in no job's key, and no server's key is in it."""
        entry = self.entry.model_dump(mode="json", exclude_defaults=True)
        return {"server": canonical({"name": self.name, "entry": entry}).decode()}

    def is_local(self, environment: Mapping[str, str]) -> bool:
        """Return whether the server is on this machine, by its address or by the variable that holds it."""
        address = self.entry.base_url or environment.get(self.entry.base_url_from, "")
        return server_address_fault(address) is None and is_this_machine(urlsplit(address).hostname or "")

    @classmethod
    def from_source(cls, source: Mapping[str, Any]) -> "ServerSettings":
        """Return the settings that :meth:`to_source` wrote.

        Raises:
            ValueError: it wrote something else.
        """
        found = json.loads(source.get("server") or "null")
        if not isinstance(found, dict) or not isinstance(found.get("name"), str):
            raise ValueError("no server")
        return cls(name=found["name"], entry=Served.model_validate(found.get("entry")))
