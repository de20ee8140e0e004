"""A model field for e-mail addresses."""

from typing import Any

from django.db import models


class LowercaseEmailField(models.EmailField):  # type: ignore[type-arg]  # not subscriptable at run time
    """A case-insensitive e-mail address.

    Values are lower-cased when stored and in lookups, so that `Ann@Example.org` finds `ann@example.org`
    and a plain unique index is enough.
    """

    def to_python(self, value: Any) -> Any:
        value = super().to_python(value)
        return value.lower() if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> Any:
        return self.to_python(super().get_prep_value(value))

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Set the instance's attribute to the stored value."""
        value = self.to_python(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value
