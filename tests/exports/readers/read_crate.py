"""Validate an RO-Crate by roc-validator and open it by ro-crate-py; print what they say as JSON.

    read_crate.py FOLDER PROFILE SEVERITY

No network is asked: the one context that the validator wants is in ro-crate-py's wheel.
"""

import io
import json
import sys
import urllib.request
import urllib.response
from email.message import Message
from pathlib import Path

import requests
import rocrate
from rocrate.rocrate import ROCrate
from rocrate_validator import models, services

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
BYTES = (Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_bytes()
MEDIA = "application/ld+json"


def send(self, request, **_):
    """Answer a request of the library ``requests``."""
    if request.url != CONTEXT:
        raise requests.ConnectionError(f"{request.url}: no network here")
    reply = requests.Response()
    reply.status_code, reply.url, reply.request, reply.raw = 200, request.url, request, io.BytesIO(BYTES)
    reply.headers["Content-Type"] = MEDIA
    return reply


class Opener(urllib.request.BaseHandler):
    """Answers requests of ``urllib``, by which rdflib fetches contexts."""

    handler_order = 1

    def https_open(self, request):
        """Answer a request for the one context out of the wheel."""
        if request.full_url != CONTEXT:
            raise OSError(f"{request.full_url}: no network here")
        headers = Message()
        headers["Content-Type"] = MEDIA
        return urllib.response.addinfourl(io.BytesIO(BYTES), headers, request.full_url, 200)


def main(folder: str, profile: str, severity: str) -> None:
    """Print profile, issues and what the crate holds."""
    requests.sessions.Session.send = send
    urllib.request.install_opener(urllib.request.build_opener(Opener))
    settings = services.ValidationSettings(
        rocrate_uri=folder,
        profile_identifier=profile,
        requirement_severity=models.Severity[severity],
        abort_on_first=False,
        no_cache=True,
    )
    result = services.validate(settings)
    issues = [f"{one.severity.name} {one.check.identifier}: {one.message}" for one in result.get_issues()]
    crate = ROCrate(folder)
    json.dump(
        {
            "passed": result.passed(),
            "checks": len(result.executed_checks),
            "issues": issues,
            "name": crate.name,
            "main": crate.mainEntity.id,
            "files": sorted(one.id for one in crate.data_entities if one.type == "File"),
            "actions": sum(one.type == "CreateAction" for one in crate.get_entities()),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
