"""Ranks and sharding: what was asked for against what accelerate made of it. It ignores some requests in silence."""

from kit.errors import KitError, RequestError

SHARDED = "FSDP"
"""accelerate's ``DistributedType`` of a fully sharded run."""


def check_before(sharding: str, world: int, cuda: bool) -> None:
    """Refuse shards that cannot be had here, before a model is loaded; the worker has counted the ranks.

    Args:
        sharding: what the job asks for, ``none`` or ``fsdp``.
        world: ranks that run it.
        cuda: whether there is a GPU.

    Raises:
        RequestError: FSDP is asked for without a GPU or on one rank.
    """
    if sharding == "none":
        return
    if not cuda:
        raise RequestError(
            f"sft.sharding: {sharding!r} on a CPU, where accelerate trains unsharded without a word; "
            'run on GPUs, or set sharding = "none" at this scale'
        )
    if world < 2:
        raise RequestError(
            f"sft.sharding: {sharding!r} over {world} rank shards nothing; launch the job on several ranks"
        )


def check_after(sharding: str, world: int, got_type: str, got_world: int) -> None:
    """Compare the plan with the accelerator that the trainer made.

    Args:
        sharding: what the job asks for, ``none`` or ``fsdp``.
        world: ranks that the job was planned for.
        got_type: ``accelerator.distributed_type``.
        got_world: ``accelerator.num_processes``.

    Raises:
        KitError: they differ; the steps of the plan would not be the steps taken.
    """
    if got_world != world:
        raise KitError(
            f"sft: accelerate runs {got_world} rank(s), the job was planned for {world}; was it started with "
            f"`accelerate launch --multi_gpu --num_processes {world}` (`--cpu` alone starts one process)?"
        )
    if (sharding == "fsdp") != (got_type == SHARDED):
        raise KitError(
            f"sft: sharding {sharding!r} was asked for, accelerate made {got_type}; "
            "look for ACCELERATE_USE_FSDP in the environment, and for a CPU where a GPU was meant"
        )
