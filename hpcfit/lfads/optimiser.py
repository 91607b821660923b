"""Adam on one flat vector of weights (Kingma & Ba 2015); its rate may change at every step."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Adam:
    """First and second moments of a flat gradient, and how many steps they hold."""

    mean: Tensor
    square: Tensor
    steps: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8

    @classmethod
    def of(cls, flat: Tensor, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> "Adam":
        """Moments of zero for the weights `flat`."""
        return cls(torch.zeros_like(flat), torch.zeros_like(flat), 0, betas, epsilon)

    @torch.no_grad()
    def step(self, flat: Tensor, gradient: Tensor, rate: float) -> None:
        """Move the weights, in place."""
        first, second = self.betas
        self.steps += 1
        self.mean.lerp_(gradient, 1.0 - first)
        self.square.mul_(second).addcmul_(gradient, gradient, value=1.0 - second)
        apart = (self.square.sqrt() / (1.0 - second**self.steps) ** 0.5).add_(self.epsilon)
        flat.addcdiv_(self.mean, apart, value=-rate / (1.0 - first**self.steps))


def clipped(gradient: Tensor, most: float) -> tuple[Tensor, float]:
    """The gradient, shortened in place to the norm `most` where it is longer; and the norm it had."""
    norm = float(gradient.norm())
    if norm > most:
        gradient.mul_(most / norm)
    return gradient, norm
