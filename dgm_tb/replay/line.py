"""The questions that wait for the worker, in the order in which they came; no PyTorch here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from dgm_tb.replay.ask import Asked

#: Seconds without a look at its question after which who asked it counts as gone where others wait: a tab looks several
#: times a second, one that is hidden once a second.
ABSENT: Final = 4.0


@dataclass
class Question:
    """One in line, wanted by its ``askers``: when each last looked. ``number`` while it is with the worker."""

    asked: Asked
    key: Hashable
    askers: dict[str, float] = field(default_factory=dict)
    number: int = 0
    begun: float = 0.0
    nodes: int = 0
    again: bool = False  # it was sent a second time: the first worker had died, perhaps long before


class Line:
    """An asker has one question: its newer one drops the older, unless somebody else wants that too, and joins at the
    end. So no two askers can take the worker from each other for ever.
    """

    def __init__(self) -> None:
        self._questions: OrderedDict[Hashable, Question] = OrderedDict()

    def join(self, asked: Asked, key: Hashable, asker: str, now: float) -> Question:
        """The question of ``key``, where it stands; what nobody wants any more leaves the line."""
        question = self._questions.setdefault(key, Question(asked, key))
        question.askers[asker] = now
        for other in [one for one in self._questions.values() if one is not question]:
            other.askers = {
                name: looked for name, looked in other.askers.items() if name != asker and now - looked < ABSENT
            }
            if not other.askers:
                self.leave(other)
        return question

    def leave(self, question: Question) -> None:
        del self._questions[question.key]

    @property
    def first(self) -> Question | None:
        return next(iter(self._questions.values()), None)

    @property
    def running(self) -> Question | None:
        """The first, if the worker has it; it never has another one."""
        first = self.first
        return first if first is not None and first.number else None
