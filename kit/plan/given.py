"""Artifacts that stand in the place of jobs where a command plans on the user's own files."""

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class GivenArtifacts:
    """Artifacts that replace jobs of a plan: they are made from the user's own files and models."""

    stages: dict[str, str] = field(default_factory=dict)
    """stage -> key of the artifact that replaces the stage's output, at every point."""
    models: dict[str, str] = field(default_factory=dict)
    """Name of a model -> key of its folder; such a model plays itself."""
    data: dict[str, str] = field(default_factory=dict)
    """Name of a data set -> key of its file."""
