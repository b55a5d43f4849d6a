"""Whether a run fits into memory, and what would make it fit.

``_memory`` computes how much the run needs.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from llmner.engines._processor import cpu_arithmetic, machine_memory
from llmner.training._config import TrainingConfig
from llmner.training._memory import GIB, Kind, MemoryEstimate, estimate
from llmner.training._shape import Shape, shape_of

__all__ = ["Device", "Fit", "advice", "all_fit", "check_fit", "devices"]


@dataclass(frozen=True, slots=True)
class Device:
    """A device and its memory.

    Attributes:
        name: Its name, for people.
        kind: "cuda" or "cpu".
        memory: Its memory, in bytes.
        found: False for a GPU that is not there but planned with.
        float32: Whether models are trained in float32 on it, if the configuration does not say.
    """

    name: str
    kind: Kind
    memory: int
    found: bool = True
    float32: bool = False


@dataclass(frozen=True, slots=True)
class Fit:
    """What a run needs on a device.

    Attributes:
        device: The device.
        estimate: What the run needs.
        advice: If it does not fit, settings with which it would; see :func:`advice`.
    """

    device: Device
    estimate: MemoryEstimate
    advice: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether the device has enough memory."""
        return self.estimate.total <= self.device.memory


def all_fit(fits: Iterable[Fit]) -> bool:
    """Whether all GPUs have enough memory. The CPU does not count: it is only shown."""
    return all(fit.fits for fit in fits if fit.device.kind == "cuda")


def check_fit(config: TrainingConfig, planned: float = 24.0) -> tuple[Shape, list[Fit]]:
    """The model's sizes, and whether the run fits each device; see :func:`devices`.

    >>> shape, fits = check_fit(TrainingConfig(), planned=24)
    >>> shape.layers, all(fit.estimate.total > 0 for fit in fits)
    (18, True)

    Args:
        config: The run's configuration.
        planned: Memory of the GPU to plan with if there is none, in GiB.

    Raises:
        InputError: The model's sizes are not known, or ``lora_targets`` names a layer that it does
            not have.
    """
    shape = shape_of(config.model.model)
    fits = []
    for device in devices(planned):
        needed = _estimate(config, shape, device)
        short = needed.total > device.memory
        fits.append(Fit(device, needed, tuple(advice(config, shape, device)) if short else ()))
    return shape, fits


def _estimate(config: TrainingConfig, shape: Shape, device: Device) -> MemoryEstimate:
    dtype = config.model.dtype
    float32 = device.float32 if dtype == "auto" else dtype == "float32"
    return estimate(config, shape, device=device.kind, float32=float32)


def devices(planned: float = 24.0) -> list[Device]:
    """The GPUs of this machine; without one, a GPU to plan with, and this machine's CPU.

    Args:
        planned: Memory of the GPU to plan with, in GiB.
    """
    try:
        import torch
    except ImportError:
        count, float32 = 0, False
    else:
        count = torch.cuda.device_count()
        float32 = not count and cpu_arithmetic().dtype == "float32"
    if count:
        return [
            Device(
                f"cuda:{number} {torch.cuda.get_device_name(number)}",
                "cuda",
                torch.cuda.get_device_properties(number).total_memory,
            )
            for number in range(count)
        ]
    plan = [Device(f"a GPU with {planned:g} GiB", "cuda", round(planned * GIB), found=False)]
    memory = machine_memory()
    if memory is None:
        return plan
    return [*plan, Device("this machine's CPU", "cpu", memory, float32=float32)]


def advice(config: TrainingConfig, shape: Shape, device: Device) -> list[str]:
    """The least change of settings with which a run would fit.

    Args:
        config: The run's configuration.
        shape: The model's sizes.
        device: The device it must fit.

    Returns:
        Lines for the configuration file; none if no change of settings is enough.
    """

    def fits(changes: tuple[_Change | None, ...]) -> bool:
        changed = config
        for change in changes:
            changed = changed if change is None else change.apply(changed)
        return _estimate(changed, shape, device).total <= device.memory

    def cost(changes: tuple[_Change | None, ...]) -> int:
        return sum(3 + change.cost for change in changes if change is not None)

    fitting = filter(fits, itertools.product(*([None, *changes] for changes in _changes(config))))
    best: tuple[_Change | None, ...] = min(fitting, key=cost, default=())
    return [line for change in best if change is not None for line in change.lines]


@dataclass(frozen=True, slots=True)
class _Change:
    """New values of some fields of a group, and how undesirable they are."""

    group: str
    values: dict[str, int | str | bool]
    cost: int

    @property
    def lines(self) -> list[str]:
        return [f"{name}: {str(value).lower()}" for name, value in self.values.items()]

    def apply(self, config: TrainingConfig) -> TrainingConfig:
        group = dataclasses.replace(getattr(config, self.group), **self.values)
        return dataclasses.replace(config, **{self.group: group})


def _changes(config: TrainingConfig) -> Iterator[list[_Change]]:
    """For each setting that could be changed, the ways to change it."""
    optim, size = config.optim, config.evaluation.eval_batch_size
    yield [
        _Change("evaluation", {"eval_batch_size": size >> n}, n)
        for n in range(1, size.bit_length())
    ]
    yield (
        []
        if config.model.gradient_checkpointing
        else [_Change("model", {"gradient_checkpointing": True}, 3)]
    )
    # The number of rows per optimiser step stays the same.
    yield [
        _Change(
            "optim",
            {
                "batch_size": optim.batch_size >> n,
                "gradient_accumulation": optim.gradient_accumulation << n,
            },
            2 * n,
        )
        for n in range(1, optim.batch_size.bit_length())
        if optim.batch_size % (1 << n) == 0
    ]
    yield (
        []
        if config.model.quantization == "4bit"
        else [_Change("model", {"quantization": "4bit"}, 20)]
    )
