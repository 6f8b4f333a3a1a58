"""Workers that ask a model on a server: the server out of a job, and the variables that such a worker alone gets."""

import os
from collections.abc import Iterable, Mapping

from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.served import KEY_VARIABLE
from kit.errors import RequestError
from kit.judges.environment import read_access
from kit.judges.settings import ServerSettings
from kit.store import Job
from kit.workers import kind_of

SERVER_VARIABLE = "KIT_SERVER"
"""The variable in which a worker gets its server. A job's file may have been changed since it was planned, and names an
address to which the key is sent: the worker takes what the plan had in memory."""
SETTINGS_OF_CLIENTS = ("OPENAI_", "AZURE_")
"""Beginnings of variables that the client would take settings from, which then stood in no manifest."""


def server_of(job: Job) -> ServerSettings:
    """Return the server that a job asks.

    Raises:
        RequestError: it names none.
    """
    try:
        return ServerSettings.from_source(job.resources.get("source", {}))
    except ValueError as error:
        raise RequestError(
            f"job {job.key[:12]} ({job.id}): resources.source.server: found no server; plan it again"
        ) from error


def server_text(job: Job) -> str:
    """Return the server that a job asks, as text; empty for a job that asks none.

    Raises:
        RequestError: as :func:`server_of`.
    """
    return server_of(job).to_source()["server"] if kind_of(job).asks else ""


def check_servers(jobs: Iterable[Job]) -> None:
    """Check that the environment has keys and addresses of all servers that are to be asked, before anything runs.

    Raises:
        RequestError: a variable is not set, or holds no key or address.
    """
    for text in sorted({server_text(job) for job in jobs} - {""}):
        read_access(ServerSettings.from_source({"server": text}), os.environ)


def check_stored_server(job: Job) -> None:
    """Check the server of a job that comes from a store's file: whoever wrote it may have named an address of theirs.

    Raises:
        RequestError: it is none of ``models.toml``.
    """
    if not kind_of(job).asks:
        return
    server, known = server_of(job), Catalogue(manifests_folder()).served
    if known.get(server.name) != server.entry:
        raise RequestError(
            f"job {job.key[:12]} ({job.id}): it asks a server that models.toml does not have, and a key would be sent "
            "there; run the manifest that names it: kit run FILE"
        )


def own_variables(text: str) -> tuple[str, ...]:
    """Return the names of the variables that hold a server's key and address."""
    entry = ServerSettings.from_source({"server": text}).entry if text else None
    return tuple(name for name in (entry.key_from, entry.base_url_from) if name) if entry else ()


def is_local(text: str) -> bool:
    """Return whether a server is on this machine, by what the environment says now; False where it says nothing."""
    server = ServerSettings.from_source({"server": text}) if text else None
    return server is not None and server.is_local(os.environ)


def passed_on(environment: Mapping[str, str], text: str) -> dict[str, str]:
    """Return the variables of this process that a worker gets: no key but that of the server that it asks.

    Args:
        environment: this process's variables.
        text: the server, as :func:`server_text` has it; empty for workers that ask none.
    """
    own = own_variables(text)
    kept = {name: value for name, value in environment.items() if name in own or not KEY_VARIABLE.fullmatch(name)}
    if not text:
        return kept
    own_settings = {name: value for name, value in kept.items() if name in own}
    return {name: value for name, value in kept.items() if not name.startswith(SETTINGS_OF_CLIENTS)} | own_settings
