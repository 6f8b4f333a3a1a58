"""Distance of a row to its nearest neighbour among the rows of its set: how little it repeats another (Figure 4).

Texts are embedded, and the distance is the squared Euclidean one to the nearest other row, exactly. The paper speaks of
instructions; the authors' script embeds a training record's whole question, instruction and input with a line break
between them:
https://github.com/HypherX/Evolution-Analysis/blob/c4dd6074c8cbd1de40f5768c54021bf150e65e33/AutoIF/eval_diversity.py
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import RequestError, did_you_mean
from kit.measures import CurveMeasure, Measure, Quantity
from kit.measures.densities import density_with_error, histogram_density
from kit.metrics import Keeps, Option, Progress, Reads, Role, ScoreSettings
from kit.records import Curve, Instruction, Score

if TYPE_CHECKING:
    from kit.neighbours.embedder import Embedder

VERSION = 1
READS: Reads = "instructions"
ROLE: Role = "embedder"
WHOLE = True
METRICS = {
    "neighbour_distance": Measure(
        title="Distance to the nearest neighbour", unit="", digits=3, kind="mean", counts="rows", lowest=0.0
    ),
    "repeat_share": Measure(title="Rows with a near neighbour", counts="rows"),
}
KEEPS: Mapping[str, Keeps] = {"neighbour_distance": "highest"}
TEXTS = ("question", "instruction")
OPTIONS: Mapping[str, Option] = {"text": "question", "repeat_threshold": 0.05}
"""``text``: ``question`` embeds the instruction with its input behind it, ``instruction`` the instruction alone.
``repeat_threshold``: a row whose nearest neighbour is nearer than this repeats it."""
DISTANCE, DENSITY = Quantity(title="squared distance", unit="", digits=2), Quantity(title="density", unit="", digits=2)
CURVES = {
    "neighbour_density": CurveMeasure(title="Nearest neighbour, smoothed", x=DISTANCE, y=DENSITY),
    "neighbour_histogram": CurveMeasure(title="Nearest neighbour, 100 bins", x=DISTANCE, y=DENSITY),
}
PLACES = tuple(number / 200 for number in range(201))
"""Distances at which the density is computed; all distances count for it."""
BINS = 100
"""Bins of the histogram over these places, in which the distances between them count alone."""
EMPTY = "empty text"


def open(model: Path | None, settings: ScoreSettings) -> "Diversity":  # noqa: A001 - the verb that every metric has
    """Load the embedder of a model's folder.

    Raises:
        RequestError: the folder holds no model that embeds, or an option has a value that is not known.
    """
    assert model is not None, "an embedder has a folder"
    text = settings.options["text"]
    if text not in TEXTS:
        raise RequestError(f"diversity: text: no way to embed named {text!r}{did_you_mean(str(text), TEXTS)}")
    from kit.neighbours.embedder import open_embedder

    # float32 whatever the scale computes in, as the authors do it: a step of bfloat16 is as large as small distances
    embedder = open_embedder(model, dtype="float32", max_tokens=settings.max_tokens or None)
    return Diversity(embedder, settings.options)


def embedded_text(row: Instruction, text: Option) -> str:
    """Return what is embedded of a row: its instruction, and its input behind a line break where that is asked for."""
    return f"{row.instruction}\n{row.input}" if text == "question" and row.input else row.instruction


class Diversity:
    """Embeds the rows of a set and finds each one's nearest neighbour."""

    def __init__(self, embedder: "Embedder", options: Mapping[str, Option]) -> None:
        self.fingerprint: Mapping[str, Any] = embedder.fingerprint
        self._embedder = embedder
        self._options = options

    def score(self, rows: Sequence[Instruction], progress: Progress) -> list[Score]:
        """Return each row's distance to its nearest neighbour; a row without a text is nobody's neighbour.

        A text that is longer than the embedder takes is cut, as sentence-transformers does it, and its facts say so.

        Raises:
            RequestError: there are not two rows with a text.
        """
        from kit.neighbours import nearest

        texts = [embedded_text(row, self._options["text"]) for row in rows]
        places = [place for place, text in enumerate(texts) if text.strip()]
        if len(places) < 2:
            raise RequestError(f"diversity: {len(places)} of {len(rows):,} rows with a text; wanted two or more")
        embeddings = self._embedder.embed([texts[place] for place in places], progress)
        found = nearest(embeddings.vectors)
        scores = [Score(id=row.id, skipped=EMPTY) for row in rows]
        for number, place in enumerate(places):
            distance, tokens = float(found.distance[number]), embeddings.tokens[number]
            cut = {"cut_at": self._embedder.max_tokens} if tokens > self._embedder.max_tokens else {}
            scores[place] = Score(
                id=rows[place].id,
                values={
                    "neighbour_distance": distance,
                    "repeat_share": float(distance < float(self._options["repeat_threshold"])),
                },
                facts={"neighbour": rows[places[int(found.index[number])]].id, "tokens": tokens, **cut},
            )
        progress(len(rows))
        return scores


def curves(rows: Sequence[Instruction], scores: Sequence[Score], options: Mapping[str, Option]) -> list[Curve]:
    """Return the density of the distances as the authors draw it: a smooth curve where they differ, and a histogram."""
    del rows, options
    values = [score.values["neighbour_distance"] for score in scores if score.values]
    found = []
    if len({*values}) > 1:
        density, error = density_with_error(values, PLACES)
        found += [Curve(curve="neighbour_density", x=PLACES, y=tuple(density), error=tuple(error), n=len(values))]
    if inside := [value for value in values if PLACES[0] <= value <= PLACES[-1]]:
        middles, heights = histogram_density(inside, PLACES[0], PLACES[-1], BINS)
        found += [Curve(curve="neighbour_histogram", x=tuple(middles), y=tuple(heights), n=len(inside))]
    return found
