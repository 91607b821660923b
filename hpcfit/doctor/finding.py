"""What is one thing that the doctor says?"""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: not `good` is what would stop, slow down or falsify a run."""

    good: bool
    what: str
    cure: str = ""
    """What to do; of a good finding, what to bear in mind."""

    def line(self) -> str:
        """As a line of text."""
        return f"{'ok  ' if self.good else 'BAD '} {self.what}" + (f"; {self.cure}" if self.cure else "")

    def as_json(self) -> dict[str, Any]:
        """For a message, or another program: Finding(**head) is the inverse."""
        return asdict(self)
