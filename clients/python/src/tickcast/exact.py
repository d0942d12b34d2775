"""Exact numbers: kept as the text that was sent, read as `decimal.Decimal`.

A Decimal made of the text is exactly that number, and nothing is computed before somebody asks;
most values of a fast market are replaced unread.
"""

from decimal import Decimal
from typing import Any, overload


class ExactField:
    """A property that reads the text of its own name in the owner's `_texts`, as a Decimal."""

    __slots__ = ("_name",)

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "ExactField": ...
    @overload
    def __get__(self, instance: object, owner: type) -> Decimal | None: ...
    def __get__(self, instance: Any, owner: type) -> "ExactField | Decimal | None":
        if instance is None:
            return self
        text = instance._texts.get(self._name)
        return None if text is None else Decimal(text)
