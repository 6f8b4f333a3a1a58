"""Seeds of single requests: from the manifest's seed and the row's id, so that no row depends on its neighbours."""

import hashlib


def request_seed(seed: int, *names: object) -> int:
    """31 bits of sha256 over the seed and the names (stage, round, row id)."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:4], "big") >> 1
