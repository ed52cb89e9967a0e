"""A validator for file fields of forms and models."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError  # type: ignore[import-untyped]  # Django ships no types
from django.utils.deconstruct import deconstructible  # type: ignore[import-untyped]  # as above
from django.utils.translation import gettext_lazy  # type: ignore[import-untyped]  # as above

from hashwacht_plugins.django.verdicts import UploadRefused, check_file


@deconstructible(path="hashwacht_plugins.django.validators.HashwachtValidator")
class HashwachtValidator:
    """``FileField(validators=[HashwachtValidator()])``; a refused file is a ValidationError.

    A model's file that is already stored was checked when it was uploaded and is not read again.
    """

    message = gettext_lazy("This upload cannot be accepted.")
    code = "hashwacht"

    def __init__(self, message: str | None = None, code: str | None = None) -> None:
        """Use *message* instead of the default, which does not mention lists."""
        self.message = self.message if message is None else message
        self.code = self.code if code is None else code

    def __call__(self, file: Any) -> None:
        """Check an uploaded file and rewind it.  Raises ValidationError."""
        if getattr(file, "_committed", False):
            return
        inner = getattr(file, "file", file)
        declared_type = getattr(inner, "content_type", None) or ""
        try:
            check_file(type(self), file.chunks(), file.name or "", declared_type)
        except UploadRefused as error:
            raise ValidationError(self.message, code=self.code) from error
        finally:
            file.seek(0)

    def __eq__(self, other: object) -> bool:
        """Compare by value, so that migrations see no change."""
        if not isinstance(other, HashwachtValidator):
            return NotImplemented
        return (self.message, self.code) == (other.message, other.code)

    def __hash__(self) -> int:
        return hash((str(self.message), self.code))
